"""What tables report to Dagster, and when they are requested."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest
from dagster import AssetRecordsFilter
from PIL import Image

from topo_pipeline.defs.partitions import range_tags
from topo_pipeline_tests.defs.conftest import ACTIVITIES, LAST_DAYS, SOME, Pipeline, days
from topo_pipeline_tests.engagement.helpers import TABLES
from topo_pipeline_tests.warehouse.builders import path_of


def _latest(pipeline: Pipeline, *path: str, day: object = None) -> dict[str, object]:
    partitions = [str(day)] if day else None
    wanted = AssetRecordsFilter(asset_key=dg.AssetKey(path), asset_partitions=partitions)
    [record] = pipeline.instance.fetch_materializations(wanted, limit=1).records
    assert record.asset_materialization is not None
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def _comments(pipeline: Pipeline, schema: str, table: str) -> dict[str, str]:
    return dict(
        pipeline.rows(
            "SELECT column_name, comment FROM duckdb_columns() WHERE database_name = current_database()"  # noqa: S608
            f" AND schema_name = '{schema}' AND table_name = '{table}'"
        )
    )


def test_each_table_reports_its_row_count_and_column_comments(refreshed: Pipeline) -> None:
    for schema, table in [
        *(("engagement", name) for name in TABLES),
        ("topo", "activities"),
        ("topo", "sequence_templates"),
    ]:
        shown = _latest(refreshed, schema, table)
        columns = shown["dagster/column_schema"].columns
        assert {column.name: column.description for column in columns} == _comments(refreshed, schema, table)
        if table != "activities":
            assert [(shown["dagster/row_count"],)] == refreshed.rows(f"SELECT count(*) FROM {schema}.{table}")  # noqa: S608


def test_each_day_of_the_daily_table_reports_its_row_count(refreshed: Pipeline) -> None:
    counted = dict(refreshed.rows("SELECT day, count(*) FROM engagement.sequence_activity GROUP BY day"))
    assert sum(counted.values()) > 0
    for day in LAST_DAYS:
        shown = _latest(refreshed, "engagement", "sequence_activity", day=day)
        assert shown["dagster/partition_row_count"] == counted.get(day, 0)


def test_column_lineage_names_the_source_columns(refreshed: Pipeline) -> None:
    origins = _latest(refreshed, "engagement", "sequence_daily")["dagster/column_lineage"].deps_by_column
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
def test_each_table_reports_a_chart_a_preview_and_numbers(refreshed: Pipeline, table: str) -> None:
    shown = _latest(refreshed, "engagement", table)
    assert shown.keys() >= NUMBERS[table]
    if table in {
        "sequence_cohorts",
        "sequence_volumes",
        "workspace_weekly",
    }:  # after four days no outcome window has closed and no week is over
        assert (shown["preview"], "chart" in shown) == ("No rows yet.", False)
        return
    assert str(shown["preview"]).count("\n|") > 1
    kind, _, picture = str(shown["chart"]).partition("(data:image/png;base64,")
    assert kind.startswith("![")
    png = base64.b64decode(picture.removesuffix(")"), validate=True)
    with Image.open(io.BytesIO(png)) as drawn:
        assert drawn.width > 600


def test_in_a_range_each_day_has_its_numbers_and_only_the_last_the_chart(refreshed: Pipeline) -> None:
    shown = [_latest(refreshed, "engagement", "sequence_activity", day=day) for day in LAST_DAYS]
    assert ["chart" in of_day for of_day in shown] == [False, False, False, True]
    assert ["dagster/column_schema" in of_day for of_day in shown] == [False, False, False, True]
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


def test_a_run_logs_a_line_for_its_range_each_day_and_each_table(refreshed: Pipeline) -> None:
    [run] = refreshed.instance.get_runs()  # `refreshed` makes sure that no test adds one
    shown = [e.user_message for e in refreshed.instance.all_logs(run.run_id) if not e.is_dagster_event]
    counted = refreshed.rows("SELECT rows, requests, api_total_count FROM topo.loads ORDER BY day")
    read = [line for line in shown if line.startswith("2026-")]
    assert f"Reading 4 days, {LAST_DAYS[0]} to {LAST_DAYS[-1]}" in shown
    for done, (line, day, (rows, requests, count)) in enumerate(zip(read, LAST_DAYS, counted, strict=True), start=1):
        assert line.startswith(f"{day} ({done} of 4, ")
        requested = "1 request" if requests == 1 else f"{requests} requests"
        assert line.endswith(
            f": {rows} activities in {requested}, proved against Topo's count of {count}; {rows} added"
        )
    for table in TABLES:
        [(rows,)] = refreshed.rows(f"SELECT count(*) FROM engagement.{table}")  # noqa: S608
        [line] = [line for line in shown if line.startswith(f"{table}: ")]
        assert line.startswith(f"{table}: {rows:,} rows")


def test_days_that_never_landed_are_not_materialized_and_hold_up_no_other(pipeline: Pipeline) -> None:
    pipeline.read(days(2))
    by_day = dg.AssetKey(["engagement", "sequence_activity"])
    tags = range_tags(days(1)[0], days(5)[-1])
    result = pipeline.unchecked().run(dg.RunRequest(asset_selection=[by_day], tags=tags))
    [event] = result.get_step_failure_events()
    assert event.step_failure_data.user_failure_data.description == (
        f"Never landed: {', '.join(str(day) for day in days(5)[2:])}."
        f" Read them first: topo-pipeline backfill {days(5)[2]} {days(5)[-1]}"
    )
    assert pipeline.instance.get_materialized_partitions(by_day) == {str(day) for day in days(2)}


def test_our_failures_are_not_retried_even_if_the_job_has_a_retry_policy(pipeline: Pipeline) -> None:
    selection = dg.AssetSelection.assets(ACTIVITIES)
    retrying = dg.define_asset_job("retrying", selection, op_retry_policy=dg.RetryPolicy(max_retries=2))
    job = dg.Definitions.merge(pipeline.definitions, dg.Definitions(jobs=[retrying])).resolve_job_def("retrying")

    def retries() -> int:
        result = job.execute_in_process(instance=pipeline.instance, partition_key=str(days(1)[0]), raise_on_error=False)
        assert not result.success
        return len([event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"])

    pipeline.api.miscounted.add(days(1)[0])
    assert retries() == 0
    path_of(pipeline.warehouse).unlink()
    path_of(pipeline.warehouse).mkdir()  # no warehouse can be opened there
    assert retries() == 0


def test_a_full_refresh_rebuilds_the_runs_of_every_load(copied: Pipeline) -> None:
    with copied.warehouse.transaction() as connection:
        connection.execute("UPDATE engagement.sequence_runs SET messages_sent = -1")
    runs = dg.RunRequest(asset_selection=[dg.AssetKey(["engagement", "sequence_runs"])])
    untouched = "SELECT count(*) FROM engagement.sequence_runs WHERE messages_sent >= 0"
    copied.unchecked().run(runs)
    assert copied.rows(untouched) == [(0,)]
    copied.unchecked().run(runs, ops={"engagement__sequence_runs": {"config": {"full_refresh": True}}})
    assert copied.rows(untouched) == copied.rows("SELECT count(*) FROM engagement.sequence_runs")


def _requested(pipeline: Pipeline, cursor: object, tables: Sequence[str] = TABLES) -> tuple[object, dict[str, int]]:
    result = dg.evaluate_automation_conditions(pipeline.definitions, pipeline.instance, cursor=cursor)
    return result.cursor, {t: result.get_num_requested(dg.AssetKey(["engagement", t])) for t in tables}


def test_tables_are_requested_once_each_time_a_day_lands(pipeline: Pipeline) -> None:
    cursor, _ = _requested(pipeline, None)
    for day in days(2):
        pipeline.read([day])
        cursor, first = _requested(pipeline, cursor)
        assert first == dict.fromkeys(TABLES, 1)  # the second time also, though nothing was built in between
    _, second = _requested(pipeline, cursor)
    assert second == dict.fromkeys(TABLES, 0)


def test_tables_are_requested_only_after_days_they_were_not_built_with(pipeline: Pipeline) -> None:
    some = pipeline.only("activities", *SOME)
    start, _ = _requested(some, None, SOME)
    one, two = days(2)
    some.backfill([one])
    built, requested = _requested(some, start, SOME)
    assert requested == dict.fromkeys(SOME, 0)
    assert _requested(some, built, SOME)[1] == dict.fromkeys(SOME, 0)

    some.read([two])
    for cursor in (built, start):  # also without an evaluation between the build and the second day
        after, requested = _requested(some, cursor, SOME)
        assert requested == dict.fromkeys(SOME, 1)

    # Tables that are requested together are built in two runs in any order, because one of them has partitions.
    for table in ("sequence_daily", "sequence_activity"):
        build = dg.RunRequest(asset_selection=[dg.AssetKey(["engagement", table])], tags=range_tags(two, two))
        assert some.run(build).success
    assert _requested(some, after, SOME)[1]["sequence_daily"] == 1  # it was built before a table that it reads
