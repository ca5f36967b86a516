"""A range of days is one run in which each day lands or fails by itself."""

import shutil
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import TagType, get_tag_type

from topo_pipeline.defs.partitions import range_tags
from topo_pipeline.orchestration.ranged_runs import Outcome
from topo_pipeline_tests.conftest import API_KEY
from topo_pipeline_tests.defs.conftest import (
    ACTIVITIES,
    BY_DAY,
    DAILY,
    LAST_DAYS,
    NOW,
    SOME,
    Pipeline,
    last_check,
    pipeline_over,
    unchanged,
)
from topo_pipeline_tests.engagement.helpers import TABLES
from topo_pipeline_tests.warehouse.builders import path_of

BAD_DAY = LAST_DAYS[1]
GOOD_DAYS = [day for day in LAST_DAYS if day != BAD_DAY]


def _statuses(pipeline: Pipeline, of: list[date]) -> dict[str, str]:
    keys = [str(day) for day in of]
    statuses = pipeline.instance.get_status_by_partition(ACTIVITIES, keys, DAILY)
    assert statuses is not None
    return {key: status.name if status else "NONE" for key, status in statuses.items()}


def check_keys(pipeline: Pipeline) -> list[dg.AssetCheckKey]:
    return list(pipeline.definitions.resolve_asset_graph().asset_check_keys)


def _tables(pipeline: Pipeline, of: Sequence[str]) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of the activities and the tables, without load columns."""
    names = ["topo.activities", *(f"engagement.{table}" for table in of)]
    without = {"topo.activities": "EXCLUDE (landed_at, load_id)"}
    return {name: pipeline.rows(f"SELECT * {without.get(name, '')} FROM {name} ORDER BY ALL") for name in names}  # noqa: S608


@pytest.fixture(scope="module")
def _one_refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pipeline, Outcome]]:
    with pipeline_over(tmp_path_factory.mktemp("one_refused"), API_KEY) as whole:
        pipeline = whole.only("activities", *SOME, checked=True)
        pipeline.api.miscounted.add(BAD_DAY)
        yield pipeline, pipeline.backfill(LAST_DAYS)


@pytest.fixture
def one_refused(_one_refused: tuple[Pipeline, Outcome]) -> Iterator[tuple[Pipeline, Outcome]]:
    """A backfill of four days and some tables, in which one day was refused; shared, so tests must not change it."""
    with unchanged(_one_refused[0]):
        yield _one_refused


def test_a_refused_day_fails_alone_and_the_tables_include_the_others(one_refused: tuple[Pipeline, Outcome]) -> None:
    pipeline, outcome = one_refused
    assert list(outcome.landed) == GOOD_DAYS, outcome.problems
    [problem] = outcome.problems
    counted, reason, command = problem.splitlines()
    assert counted == "1 of 4 days did not land."
    assert reason.startswith(f"{BAD_DAY}: ")
    assert "1 missing" in reason
    assert command == f"To try again: topo-pipeline backfill {BAD_DAY}"
    assert _statuses(pipeline, LAST_DAYS) == {str(d): "FAILED" if d == BAD_DAY else "MATERIALIZED" for d in LAST_DAYS}
    assert pipeline.rows("SELECT day FROM topo.loads ORDER BY day") == [(day,) for day in GOOD_DAYS]
    assert pipeline.instance.get_materialized_partitions(BY_DAY) == {str(day) for day in GOOD_DAYS}
    [(sent_in_tables,)] = pipeline.rows("SELECT sum(total_sent) FROM engagement.sequence_daily")
    [(sent,)] = pipeline.rows("SELECT count(*) FROM topo.activities WHERE type = 'message.sent'")
    assert sent_in_tables == sent > 0


def test_dagster_shows_of_a_refused_day_its_sentences_and_no_stack_trace(one_refused: tuple[Pipeline, Outcome]) -> None:
    pipeline, outcome = one_refused
    [run] = [run for run in pipeline.instance.get_runs() if not run.is_success]
    [failed] = pipeline.instance.all_logs(run.run_id, dg.DagsterEventType.STEP_FAILURE)
    error = failed.get_dagster_event().step_failure_data.error
    assert error is not None
    assert (error.message,) == outcome.problems
    assert (error.stack, error.cause, error.context) == ([], None, None)


def test_after_a_refused_day_the_activities_and_tables_are_still_checked(
    one_refused: tuple[Pipeline, Outcome],
) -> None:
    pipeline, _ = one_refused
    keys = check_keys(pipeline)
    latest = pipeline.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    statuses = {key: record.status.name for key, record in latest.items()}
    assert set(statuses) == set(keys)
    assert {key.name for key, status in statuses.items() if status != "SUCCEEDED"} == {
        "no_day_is_missing", "last_reading_landed", "topo_counts_what_landed"
    }  # fmt: skip
    assert set(statuses.values()) == {"SUCCEEDED", "FAILED"}


def test_after_a_second_run_of_a_refused_day_the_tables_are_as_if_it_had_not_failed(
    one_refused: tuple[Pipeline, Outcome], copied: Pipeline, tmp_path: Path, api_key: str
) -> None:
    (tmp_path / "second").mkdir()
    shutil.copy(path_of(one_refused[0].warehouse), tmp_path / "second")
    with pipeline_over(tmp_path / "second", api_key) as pipeline:
        assert pipeline.only("activities", *SOME).backfill([BAD_DAY]).problems == ()
        assert _tables(pipeline, SOME) == _tables(copied, SOME)


def test_the_list_of_runs_shows_days_and_counts_and_no_tag_of_our_own_besides(
    one_refused: tuple[Pipeline, Outcome],
) -> None:
    pipeline, _ = one_refused
    reading = pipeline.instance.get_runs()[-1]  # the first one
    [(activities,)] = pipeline.rows("SELECT sum(rows)::BIGINT FROM topo.loads")
    ours = {name: value for name, value in reading.tags.items() if get_tag_type(name) == TagType.USER_PROVIDED}
    assert ours == {"landed": f"3 of 4 days, {activities:,} activities"}


def test_days_with_gaps_take_one_run_each_and_one_build_of_the_tables(pipeline: Pipeline) -> None:
    selected = pipeline.only("activities", "sequence_activity", "sequence_runs", checked=True)
    days = [LAST_DAYS[0], *LAST_DAYS[2:]]
    pipeline.api.miscounted.add(LAST_DAYS[0])
    outcome = selected.backfill(days)
    assert list(outcome.landed) == LAST_DAYS[2:]
    assert [problem.splitlines()[0] for problem in outcome.problems] == ["1 of 3 days did not land."]
    assert pipeline.rows("SELECT day FROM topo.loads ORDER BY day") == [(day,) for day in LAST_DAYS[2:]]
    built = dg.AssetKey(["engagement", "sequence_runs"])
    assert len(pipeline.instance.fetch_materializations(built, limit=9).records) == 1
    assert pipeline.instance.get_materialized_partitions(BY_DAY) == {str(day) for day in LAST_DAYS[2:]}
    assert last_check(pipeline, "no_day_is_missing").metadata  # checks of the activities are evaluated too


def test_days_with_gaps_are_left_out_after_two_runs_without_a_usable_answer(tmp_path: Path, api_key: str) -> None:
    days = [LAST_DAYS[0] - timedelta(days=2 * n) for n in range(4)][::-1]
    with pipeline_over(tmp_path, api_key, key_used="topo_wrong_key") as refused:
        outcome = refused.only("activities").backfill(days)
        runs = refused.instance.get_runs()
    assert (outcome.landed, len(runs)) == ((), 2)
    first, last = outcome.problems
    assert first.splitlines()[0] == "2 of 4 days did not land."
    assert "To try again" not in first
    commands = "; ".join(f"topo-pipeline backfill {day}" for day in days)
    assert last == (f"Topo gave no usable answer twice in a row: 0 of 4 days landed. To read the rest: {commands}")


def test_a_refused_reload_does_not_change_the_day(pipeline: Pipeline) -> None:
    pipeline.read([BAD_DAY])
    before = pipeline.rows("SELECT * FROM topo.activities ORDER BY id")
    assert len(before) > 0
    pipeline.api.miscounted.add(BAD_DAY)
    assert not pipeline.read([BAD_DAY]).success

    assert pipeline.rows("SELECT * FROM topo.activities ORDER BY id") == before
    [(loads,)] = pipeline.rows("SELECT count(*) FROM topo.loads")
    assert loads == 1


def test_reading_a_range_twice_changes_no_number(copied: Pipeline) -> None:
    first = _tables(copied, SOME)
    loads = {load for (load,) in copied.rows("SELECT load_id FROM topo.loads")}
    assert len(loads) == 4
    assert copied.only("activities", *SOME).backfill(LAST_DAYS).problems == ()

    assert _tables(copied, SOME) == first
    reloads = copied.rows("SELECT load_id, added, changed, removed FROM topo.loads")
    assert [tuple(counts) for load, *counts in reloads if load not in loads] == [(0, 0, 0)] * 4


def test_a_refused_key_fails_every_day_before_activities_are_requested(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, key_used="topo_wrong_key") as refused:
        outcome = refused.unchecked().backfill(LAST_DAYS)
        asked = refused.api.requested
    assert outcome.landed == ()
    assert "4 of 4 days did not land" in outcome.problems[0]
    assert "TOPO_API_KEY" in outcome.problems[0]
    assert "/v1/activities" not in asked


def test_today_lands_as_an_open_day_up_to_two_minutes_ago(pipeline: Pipeline) -> None:
    assert pipeline.read([NOW.date()]).success
    [(is_open, asked_before, rows)] = pipeline.rows("SELECT is_open, asked_before, rows FROM topo.loads")
    assert is_open
    assert (NOW - asked_before).total_seconds() == 120 - 3  # minus the margin
    assert rows > 0
    [(latest,)] = pipeline.rows("SELECT max(created_at) FROM topo.activities")
    assert latest < asked_before


@pytest.mark.parametrize(
    "selected",
    ["the whole job", *(pytest.param(name, marks=pytest.mark.full) for name in ("activities", "every asset by name"))],
)
def test_tables_follow_after_a_run_with_a_refused_day(pipeline: Pipeline, selected: str) -> None:
    """They also follow if the failed run was meant to build them, like a run of all assets launched in the UI."""
    of = {"activities": [ACTIVITIES], "the whole job": None}
    every = [spec.key for spec in pipeline.definitions.resolve_all_asset_specs() if spec.group_name != "publish"]
    pipeline.api.miscounted.add(BAD_DAY)
    tags = range_tags(LAST_DAYS[0], LAST_DAYS[-1])
    assert not pipeline.run(dg.RunRequest(asset_selection=of.get(selected, every), tags=tags)).success

    request = pipeline.follow_up()
    assert request is not None
    assert {key.path[-1] for key in request.asset_selection or ()} == set(TABLES)
    some = pipeline.only("activities", "sequence_activity")
    request = some.follow_up()
    assert request is not None
    assert some.run(request).success  # the refused day, which lies between the others, is not missed
    assert pipeline.instance.get_materialized_partitions(BY_DAY) == {str(day) for day in GOOD_DAYS}
    assert some.follow_up() is None
