"""When tables are requested, and for which days they are built."""

import dagster as dg
import pytest

from topo_pipeline.definitions import defs
from topo_pipeline.defs.metric_tables import metric_tables
from topo_pipeline.defs.partitions import RANGE_END, RANGE_START, range_tags
from topo_pipeline.engagement.building import days_behind
from topo_pipeline.settings import Settings
from topo_pipeline_tests.defs.conftest import (
    ACTIVITIES,
    BY_DAY,
    LIST_ASSETS,
    SOME,
    Pipeline,
    days,
    follow_up,
    latest_metadata,
)
from topo_pipeline_tests.defs.test_records import land
from topo_pipeline_tests.engagement.helpers import TABLES
from topo_pipeline_tests.warehouse.builders import path_of


def test_tables_link_to_the_address_of_the_report_if_it_has_one() -> None:
    address = "https://reports.example/engagement_report.html"
    tables = metric_tables(Settings(_env_file=None, report_url=address))
    specs = [table.get_asset_spec() for table in tables]
    assert [spec.metadata["report"] for spec in specs] == [dg.MetadataValue.url(address)] * len(TABLES)
    assert all(f"[The report]({address})" in str(spec.description) for spec in specs)


def test_days_that_never_landed_are_not_materialized_and_hold_up_no_other(pipeline: Pipeline) -> None:
    pipeline.read(days(2))
    tags = range_tags(days(1)[0], days(5)[-1])
    result = pipeline.unchecked().run(dg.RunRequest(asset_selection=[BY_DAY], tags=tags))
    [event] = result.get_step_failure_events()
    assert event.step_failure_data.user_failure_data.description == (
        f"Never landed: {', '.join(str(day) for day in days(5)[2:])}."
        f" Read them first: topo-pipeline backfill {days(5)[2]} {days(5)[-1]}"
    )
    assert pipeline.instance.get_materialized_partitions(BY_DAY) == {str(day) for day in days(2)}


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


def _requested(pipeline: Pipeline) -> list[str]:
    request = pipeline.follow_up()
    return sorted(key.path[-1] for key in request.asset_selection or ()) if request else []


def test_tables_are_requested_until_they_are_built_with_the_landed_days(pipeline: Pipeline) -> None:
    some = pipeline.only("activities", *SOME)
    assert _requested(some) == []
    one, two = days(2)
    some.backfill([one])
    assert _requested(some) == []
    some.read([two])
    assert _requested(some) == sorted(SOME)

    for table in ("sequence_daily", "sequence_activity"):
        build = dg.RunRequest(asset_selection=[dg.AssetKey(["engagement", table])], tags=range_tags(two, two))
        assert some.run(build).success
    assert _requested(some) == ["sequence_daily", "sequence_runs"]  # the first was built before a table that it reads


def test_days_with_gaps_are_built_in_one_run(pipeline: Pipeline) -> None:
    some, landed = pipeline.only("activities", "sequence_activity"), [days(6)[n] for n in (0, 1, 4)]
    some.read(landed[:2])
    some.read(landed[2:])
    request = some.follow_up()
    assert request is not None
    assert some.run(request).success
    assert _requested(some) == []
    assert some.instance.get_materialized_partitions(BY_DAY) == {str(day) for day in landed}
    for day in landed:
        rows = some.rows(f"SELECT count(*) FROM engagement.sequence_activity WHERE day = '{day}'")  # noqa: S608
        assert [(latest_metadata(some, *BY_DAY.path, day=day)["dagster/partition_row_count"],)] == rows


def test_built_days_that_dagster_has_no_record_of_are_recorded_by_the_next_build(pipeline: Pipeline) -> None:
    some, landed = pipeline.only("activities", "sequence_activity"), [days(4)[n] for n in (0, 1, 3)]
    some.backfill(landed[:2])
    some.instance.wipe_assets([BY_DAY])
    some.backfill(landed[2:])
    assert some.instance.get_materialized_partitions(BY_DAY) == {str(day) for day in landed}


def test_names_of_sequences_are_followed_by_the_tables_that_read_them(pipeline: Pipeline) -> None:
    some = pipeline.only("activities", "sequence_templates", *SOME)
    some.backfill(days(1))
    assert some.run(dg.RunRequest(asset_selection=LIST_ASSETS)).success
    assert _requested(some) == ["sequence_daily"]


def test_tables_that_fail_are_requested_twice_and_then_wait_for_the_next_change(pipeline: Pipeline) -> None:
    some = pipeline.only("activities", "sequence_activity")
    *landed, newest = days(4)
    some.read(landed)
    warehouse, aside = path_of(some.warehouse), path_of(some.warehouse).with_suffix(".aside")
    warehouse.rename(aside)
    warehouse.mkdir()  # no warehouse can be opened there
    for _ in range(2):
        assert _requested(some) == ["sequence_activity"]
        request = some.follow_up()
        assert request is not None
        assert not some.run(request).success
    assert _requested(some) == []
    warehouse.rmdir()
    aside.rename(warehouse)
    assert _requested(some) == []
    some.read([newest])
    assert _requested(some) == ["sequence_activity"]
    request = some.follow_up()
    assert request is not None
    assert some.run(request).success
    with some.warehouse.reader() as connection:
        assert days_behind(connection, "sequence_activity") == ()


def test_a_day_that_the_warehouse_has_lost_is_not_requested(pipeline: Pipeline) -> None:
    some = pipeline.only("activities", "sequence_activity")
    *lost, newest = days(3)
    some.read(lost)
    path_of(some.warehouse).unlink()
    some.read([newest])
    request = some.follow_up()
    assert request is not None
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == (str(newest), str(newest))
    assert some.run(request).success


@pytest.mark.parametrize(
    ("job", "selection", "status", "waits"),
    [
        ("refresh", None, dg.DagsterRunStatus.STARTING, True),
        ("refresh", {ACTIVITIES}, dg.DagsterRunStatus.STARTED, True),
        ("refresh", {BY_DAY}, dg.DagsterRunStatus.CANCELING, True),
        ("reread_replies", None, dg.DagsterRunStatus.STARTED, True),
        ("publish", None, dg.DagsterRunStatus.STARTED, False),
        ("refresh", None, dg.DagsterRunStatus.NOT_STARTED, False),
        ("refresh", None, dg.DagsterRunStatus.FAILURE, False),
    ],
)
def test_tables_wait_for_runs_that_read_days_or_build_tables(
    instance: dg.DagsterInstance,
    job: str,
    selection: set[dg.AssetKey] | None,
    status: dg.DagsterRunStatus,
    waits: bool,
) -> None:
    land(instance, days(1)[0])
    assert follow_up(instance) is not None
    instance.create_run_for_job(defs.resolve_job_def(job), asset_selection=selection, status=status)
    assert (follow_up(instance) is None) == waits
