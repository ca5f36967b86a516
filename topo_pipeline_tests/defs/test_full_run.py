"""One run reads two days and builds every table: what lands, what is checked, and what Dagster shows of it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import pytest

from topo_pipeline.report.looks import LOOKS
from topo_pipeline_tests.conftest import API_KEY
from topo_pipeline_tests.defs.conftest import (
    ACTIVITIES,
    BY_DAY,
    LAST_DAYS,
    Pipeline,
    last_check,
    latest_metadata,
    pipeline_over,
    unchanged,
)
from topo_pipeline_tests.engagement.helpers import TABLES

DAYS = LAST_DAYS[-2:]


@pytest.fixture(scope="module")
def _refreshed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with pipeline_over(tmp_path_factory.mktemp("refreshed"), API_KEY) as built:
        assert built.backfill(DAYS).problems == ()
        yield built


@pytest.fixture
def refreshed(_refreshed: Pipeline) -> Iterator[Pipeline]:
    """One run has read two days and built every table. Shared: tests must not change it."""
    with unchanged(_refreshed):
        yield _refreshed


def _comments(pipeline: Pipeline, schema: str, table: str) -> dict[str, str]:
    return dict(
        pipeline.rows(
            "SELECT column_name, comment FROM duckdb_columns() WHERE database_name = current_database()"  # noqa: S608
            f" AND schema_name = '{schema}' AND table_name = '{table}'"
        )
    )


def _events(pipeline: Pipeline, day: date, asset: dg.AssetKey = ACTIVITIES) -> list[dict[str, object]]:
    """Return the metadata of each materialization of a day, newest first."""
    records = pipeline.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[str(day)]), limit=10
    ).records
    return [
        {k: v.value for k, v in r.asset_materialization.metadata.items()} for r in records if r.asset_materialization
    ]


def test_a_range_lands_every_activity_in_one_run_and_builds_every_table(refreshed: Pipeline) -> None:
    assert len(refreshed.instance.get_runs()) == 1
    start = datetime.combine(DAYS[0], time(), UTC)
    happened = refreshed.world.activities(start - timedelta(microseconds=1), start + timedelta(days=len(DAYS)))
    landed = refreshed.rows("SELECT id::VARCHAR FROM topo.activities ORDER BY ALL")
    assert landed == [(id_,) for id_ in sorted(activity.id for activity in happened)]
    for table in set(LOOKS) - {"sequence_volumes"}:  # no week of these days is over
        assert refreshed.rows(f"SELECT count(*) > 0 FROM engagement.{table}") == [(True,)], table  # noqa: S608


def test_the_events_of_each_day_have_the_values_of_the_ledger(refreshed: Pipeline) -> None:
    ledger = refreshed.rows(
        "SELECT day, rows, api_total_count, requests, load_id::VARCHAR FROM topo.loads ORDER BY day"
    )
    assert [row[0] for row in ledger] == DAYS
    for day, rows, count, requests, load_id in ledger:
        [event] = _events(refreshed, day)  # none is added at the run's success
        assert event["dagster/partition_row_count"] == rows
        assert event["api_total_count"] == count
        assert event["requests"] == requests
        assert event["load_id"] == load_id
        assert event["proved"] is True


def test_a_range_evaluates_every_check_once_and_all_pass(refreshed: Pipeline) -> None:
    keys = list(refreshed.definitions.resolve_asset_graph().asset_check_keys)
    assert {key.asset_key.path[-1] for key in keys} == {"activities", *TABLES}
    storage = refreshed.instance.event_log_storage
    for key in keys:
        records = storage.get_asset_check_execution_history(key, limit=99)
        assert [record.status.name for record in records] == ["SUCCEEDED"], key
    assert last_check(refreshed).passed
    assert last_check(refreshed, "key_is_unique", BY_DAY).metadata["rows"].value == 0


def test_each_table_reports_its_row_count_and_column_comments(refreshed: Pipeline) -> None:
    for schema, table in [
        *(("engagement", name) for name in TABLES),
        ("topo", "activities"),
        ("topo", "sequence_templates"),
    ]:
        shown = latest_metadata(refreshed, schema, table)
        columns = shown["dagster/column_schema"].columns
        assert {column.name: column.description for column in columns} == _comments(refreshed, schema, table)
        if table != "activities":
            assert [(shown["dagster/row_count"],)] == refreshed.rows(f"SELECT count(*) FROM {schema}.{table}")  # noqa: S608


def test_each_day_of_the_daily_table_reports_its_row_count(refreshed: Pipeline) -> None:
    counted = dict(refreshed.rows("SELECT day, count(*) FROM engagement.sequence_activity GROUP BY day"))
    assert sum(counted.values()) > 0
    for day in DAYS:
        shown = latest_metadata(refreshed, "engagement", "sequence_activity", day=day)
        assert shown["dagster/partition_row_count"] == counted.get(day, 0)


def test_column_lineage_names_the_source_columns(refreshed: Pipeline) -> None:
    origins = latest_metadata(refreshed, "engagement", "sequence_daily")["dagster/column_lineage"].deps_by_column
    runs, counts = (dg.AssetKey(["engagement", name]) for name in ("sequence_runs", "sequence_activity"))
    assert origins["unique_sent"] == [dg.TableColumnDep(runs, "contacted_at")]
    assert origins["total_sent"] == [dg.TableColumnDep(counts, "total_sent")]


NUMBERS = {
    "sequence_activity": {"messages", "replies"},
    "sequence_runs": {"contacts", "replied", "active", "left_censored"},
    "sequence_daily": {"days", "unusual_volumes"},
    "sequence_cohorts": {"matured_runs"},
    "sequence_summary": {"sequences", "silent_sequences", "days_unknown"},
    "sequence_signals": {"up", "down", "comparable"},
    "sequence_channels": {"open_tasks", "tracking_off"},
    "sequence_steps": {"sends_with_known_step_percent"},
    "sequence_volumes": {"up", "down"},
    "workspace_daily": {"days", "days_not_known"},
    "workspace_weekly": {"weeks", "mature_weeks"},
}


@pytest.mark.parametrize("table", NUMBERS)
def test_each_table_reports_a_preview_and_numbers(refreshed: Pipeline, table: str) -> None:
    shown = latest_metadata(refreshed, "engagement", table)
    assert shown.keys() >= NUMBERS[table]
    if table in {
        "sequence_cohorts",
        "sequence_volumes",
        "workspace_weekly",
    }:  # after two days no outcome window has closed and no week is over
        assert shown["preview"] == "No rows yet."
        return
    assert str(shown["preview"]).count("\n|") > 1


def test_in_a_range_each_day_has_its_numbers_and_only_the_last_the_preview(refreshed: Pipeline) -> None:
    shown = [latest_metadata(refreshed, "engagement", "sequence_activity", day=day) for day in DAYS]
    assert ["preview" in of_day for of_day in shown] == [False, True]
    assert ["dagster/column_schema" in of_day for of_day in shown] == [False, True]
    sent = refreshed.rows("SELECT sum(total_sent)::BIGINT FROM engagement.sequence_activity GROUP BY day ORDER BY day")
    assert [(of_day["messages"],) for of_day in shown] == sent


def test_each_table_links_to_the_report_its_sql_its_documentation_and_its_builds(refreshed: Pipeline) -> None:
    for table in TABLES:
        spec = refreshed.definitions.resolve_assets_def(dg.AssetKey(["engagement", table])).get_asset_spec()
        assert str(spec.metadata["report"].value).endswith("/report/engagement_report.html")
        sql, docs = spec.metadata["dagster/code_references"].code_references
        assert Path(sql.file_path).read_text(encoding="utf-8") != ""
        line = Path(docs.file_path).read_text(encoding="utf-8").splitlines()[docs.line_number - 1]
        assert line == f"### engagement.{table}"
        assert f"(/assets/engagement/{table}?view=events)" in str(spec.description)
        assert "(/assets/publish/engagement_report?view=events)" in str(spec.description)
    spec = refreshed.definitions.resolve_assets_def(ACTIVITIES).get_asset_spec()
    [docs] = spec.metadata["dagster/code_references"].code_references
    line = Path(docs.file_path).read_text(encoding="utf-8").splitlines()[docs.line_number - 1]
    assert line == "### topo.activities"


def test_a_run_logs_a_line_for_its_range_each_day_and_each_table(refreshed: Pipeline) -> None:
    [run] = refreshed.instance.get_runs()  # `refreshed` makes sure that no test adds one
    shown = [e.user_message for e in refreshed.instance.all_logs(run.run_id) if not e.is_dagster_event]
    counted = refreshed.rows("SELECT rows, requests, api_total_count FROM topo.loads ORDER BY day")
    landed = refreshed.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    events = [entry.get_dagster_event() for entry in landed]
    read = [str(event.message) for event in events if event.asset_key == ACTIVITIES]
    assert f"Reading 2 days, {DAYS[0]} to {DAYS[-1]}" in shown
    for done, (line, day, (rows, requests, count)) in enumerate(zip(read, DAYS, counted, strict=True), start=1):
        assert line.startswith(f"{day} ({done} of 2, ")
        requested = "1 request" if requests == 1 else f"{requests} requests"
        assert line.endswith(
            f": {rows} activities in {requested}, proved against Topo's count of {count}; {rows} added"
        )
    for table in TABLES:
        [(rows,)] = refreshed.rows(f"SELECT count(*) FROM engagement.{table}")  # noqa: S608
        [line] = [line for line in shown if line.startswith(f"{table}: ")]
        assert line.startswith(f"{table}: {rows:,} rows")
