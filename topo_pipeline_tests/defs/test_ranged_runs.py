"""A range of days is one run, and a day is still the unit."""

from datetime import date
from pathlib import Path

import dagster as dg
import httpx
import pytest
from dagster import AssetRecordsFilter

from topo_pipeline.defs.partitions import daily, range_tags
from topo_pipeline_tests.defs.conftest import ACTIVITIES, FIRST_DAY, LAST_DAYS, NOW, Pipeline, days, pipeline_over

BAD_DAY = days(10)[4]


def _statuses(pipeline: Pipeline, of: list[date]) -> dict[str, str]:
    keys = [str(day) for day in of]
    statuses = pipeline.instance.get_status_by_partition(ACTIVITIES, keys, daily)
    assert statuses is not None
    return {key: status.name if status else "NONE" for key, status in statuses.items()}


def _events(pipeline: Pipeline, day: date, asset: dg.AssetKey = ACTIVITIES) -> list[dict[str, object]]:
    """The metadata of each materialisation of a day, newest first."""
    records = pipeline.instance.fetch_materializations(
        AssetRecordsFilter(asset_key=asset, asset_partitions=[str(day)]), limit=10
    ).records
    return [
        {k: v.value for k, v in r.asset_materialization.metadata.items()} for r in records if r.asset_materialization
    ]


def _tables(pipeline: Pipeline) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table that the pipeline keeps, loads aside."""
    names = ("engagement.sequence_activity", "engagement.sequence_runs", "engagement.sequence_daily")
    names += ("engagement.sequence_summary", "topo.activities")
    without = {"topo.activities": "EXCLUDE (landed_at, load_id)"}
    return {name: pipeline.rows(f"SELECT * {without.get(name, '')} FROM {name} ORDER BY ALL") for name in names}  # noqa: S608


def _api_count(pipeline: Pipeline, api_key: str, first: date, last: date) -> int:
    """What the API itself counts from the first day to the last, asked apart from the pipeline's client."""
    answer = httpx.get(
        f"{pipeline.api_url}/activities",
        params={"size": 1, "created_at_after": f"{first}T00:00:00Z", "created_at_before": f"{last}T23:59:59.999999Z"},
        headers={"Authorization": f"Bearer {api_key}"},
    )
    return int(answer.json()["total_count"])


def test_a_range_lands_every_activity_in_one_run_and_builds_every_table(pipeline: Pipeline, api_key: str) -> None:
    outcome = pipeline.backfill(days(5))

    assert outcome.problems == ()
    assert list(outcome.landed) == days(5)
    assert len(pipeline.instance.get_runs()) == 1
    [(landed, distinct)] = pipeline.rows("SELECT count(*), count(DISTINCT id) FROM topo.activities")
    assert landed == distinct == _api_count(pipeline, api_key, days(5)[0], days(5)[-1])
    assert all(rows for rows in _tables(pipeline).values())


def test_the_latest_event_of_each_day_carries_what_the_ledger_says(refreshed: Pipeline) -> None:
    ledger = refreshed.rows(
        "SELECT day, rows, api_total_count, requests, load_id::VARCHAR FROM topo.loads ORDER BY day"
    )
    assert [row[0] for row in ledger] == LAST_DAYS
    for day, rows, count, requests, load_id in ledger:
        events = _events(refreshed, day)
        assert len(events) == 2  # one as the day landed, one at the run's success
        for event in events:
            assert event["dagster/partition_row_count"] == rows
            assert event["api_total_count"] == count
            assert event["requests"] == requests
            assert event["load_id"] == load_id
            assert event["proved"] is True


def test_one_refused_day_of_ten_fails_alone_and_the_tables_take_in_the_nine(pipeline: Pipeline) -> None:
    pipeline.api.miscounted.add(BAD_DAY)
    outcome = pipeline.backfill(days(10))

    good = [day for day in days(10) if day != BAD_DAY]
    assert list(outcome.landed) == good, outcome.problems
    assert len(outcome.problems) == 1
    assert str(BAD_DAY) in outcome.problems[0]
    assert "1 missing" in outcome.problems[0]
    assert _statuses(pipeline, days(10)) == {str(d): "FAILED" if d == BAD_DAY else "MATERIALIZED" for d in days(10)}
    assert pipeline.rows("SELECT day FROM topo.loads ORDER BY day") == [(day,) for day in good]
    by_day = dg.AssetKey(["engagement", "sequence_activity"])
    assert pipeline.instance.get_materialized_partitions(by_day) == {str(day) for day in good}
    lifetimes = "FROM engagement.sequence_summary WHERE period = 'lifetime'"
    [(sent_in_tables,)] = pipeline.rows(f"SELECT sum(total_sent) {lifetimes}")
    [(sent,)] = pipeline.rows("SELECT count(*) FROM topo.activities WHERE type = 'message.sent'")
    assert sent_in_tables == sent > 0
    assert pipeline.rows(f"SELECT DISTINCT days_missing {lifetimes}") == [(1,)]


def test_a_second_run_of_the_failed_day_heals_it_as_if_it_had_never_failed(
    pipeline: Pipeline,
) -> None:
    pipeline.api.miscounted.add(BAD_DAY)
    pipeline.backfill(days(10))
    pipeline.api.miscounted.clear()
    outcome = pipeline.backfill([BAD_DAY])

    assert outcome.problems == ()
    assert set(_statuses(pipeline, days(10)).values()) == {"MATERIALIZED"}
    healed = _tables(pipeline)
    pipeline.warehouse.path.unlink()
    pipeline.backfill(days(10))
    assert _tables(pipeline) == healed


def test_a_refused_reload_leaves_the_day_as_it_was(pipeline: Pipeline) -> None:
    pipeline.land([BAD_DAY])
    before = pipeline.rows("SELECT * FROM topo.activities ORDER BY id")
    pipeline.api.miscounted.add(BAD_DAY)
    outcome = pipeline.land([BAD_DAY])

    assert outcome.landed == ()
    assert pipeline.rows("SELECT * FROM topo.activities ORDER BY id") == before
    [(loads,)] = pipeline.rows("SELECT count(*) FROM topo.loads")
    assert loads == 1


def test_reading_a_range_twice_changes_no_number(copied: Pipeline) -> None:
    first = _tables(copied)
    loads = {load for (load,) in copied.rows("SELECT load_id FROM topo.loads")}
    assert len(loads) == 4
    copied.backfill(LAST_DAYS)

    assert _tables(copied) == first
    reloads = copied.rows("SELECT load_id, added, changed, removed FROM topo.loads")
    assert [tuple(counts) for load, *counts in reloads if load not in loads] == [(0, 0, 0)] * 4


def test_a_refused_key_ends_the_run_before_any_activity_is_asked_for_and_names_every_day(
    tmp_path: Path, api_key: str
) -> None:
    with pipeline_over(tmp_path, api_key, key_used="topo_wrong_key") as refused:
        outcome = refused.backfill(days(5))
        asked = refused.api.asked
    assert outcome.landed == ()
    assert "5 of 5 days did not land" in outcome.problems[0]
    assert "TOPO_API_KEY" in outcome.problems[0]
    assert "/v1/activities" not in asked


def test_today_lands_as_an_open_day_up_to_two_minutes_ago(pipeline: Pipeline) -> None:
    outcome = pipeline.land([NOW.date()])

    assert outcome.problems == ()
    [(is_open, asked_before, rows)] = pipeline.rows("SELECT is_open, asked_before, rows FROM topo.loads")
    assert is_open
    assert (NOW - asked_before).total_seconds() == 120
    assert rows > 0
    [(latest,)] = pipeline.rows("SELECT max(created_at) FROM topo.activities")
    assert latest < asked_before


@pytest.mark.parametrize("asked_for", ["activities", "every asset by name", "the whole job"])
def test_the_tables_follow_after_a_run_with_a_refused_day(pipeline: Pipeline, asked_for: str) -> None:
    """Also where the run that failed was to build them itself, as one of all assets is that is begun in the UI."""
    of = {"activities": [ACTIVITIES], "the whole job": None}
    every = [spec.key for spec in pipeline.definitions.resolve_all_asset_specs() if spec.group_name != "publish"]
    pipeline.api.miscounted.add(BAD_DAY)
    before = dg.evaluate_automation_conditions(pipeline.definitions, pipeline.instance)
    tags = range_tags(FIRST_DAY, days(10)[-1])
    assert not pipeline.run(dg.RunRequest(asset_selection=of.get(asked_for, every), tags=tags)).success
    after = dg.evaluate_automation_conditions(pipeline.definitions, pipeline.instance, cursor=before.cursor)

    asked = after.get_requested_partitions(dg.AssetKey(["engagement", "sequence_activity"]))
    assert asked == {str(day) for day in days(10) if day != BAD_DAY}
    for table in ("sequence_runs", "sequence_daily", "sequence_cohorts", "sequence_summary", "sequence_trends"):
        assert after.get_num_requested(dg.AssetKey(["engagement", table])) == 1, table
