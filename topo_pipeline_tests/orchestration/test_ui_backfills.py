"""Backfills launched in the UI: its GraphQL requests, a real code server, the daemon's steps and real runs."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.sensor import execute_sensor_iteration
from dagster_graphql.schema import create_schema

from topo_pipeline.defs.partitions import RANGE_END, RANGE_START, range_tags
from topo_pipeline.sandbox.server import serve
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.conftest import CHECKOUT, PATIENCE
from topo_pipeline_tests.defs.conftest import ACTIVITIES, follow_up
from topo_pipeline_tests.engagement.helpers import TABLES
from topo_pipeline_tests.orchestration.test_dev import until
from topo_pipeline_tests.orchestration.test_killed_runs import PausedSandbox
from topo_pipeline_tests.orchestration.test_orphaned_runs import prepared
from topo_pipeline_tests.warehouse.builders import ask

# Raised by Dagster itself.
pytestmark = pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources`:DeprecationWarning")
BACKFILL = """
mutation($days: [String!]!) {
  launchPartitionBackfill(backfillParams: {
    assetSelection: [{path: ["topo", "activities"]}], partitionNames: $days
  }) { __typename ... on LaunchBackfillSuccess { backfillId } ... on Error { message } }
}
"""
TERMINATE = "mutation($run: String!) { terminateRun(runId: $run) { __typename } }"
RE_EXECUTE = """
mutation($run: String!, $strategy: ReexecutionStrategy!) {
  launchRunReexecution(reexecutionParams: {parentRunId: $run, strategy: $strategy}) {
    __typename ... on LaunchRunSuccess { run { runId } }
  }
}
"""
ENTRIES = "{ runsFeedOrError(limit: 99, view: ROOTS) { ... on RunsFeedConnection { results { __typename id } } } }"
LOGGER = logging.getLogger("daemon")
HELD, OTHERS = ["2026-03-02", "2026-03-03", "2026-03-04"], ["2026-03-06", "2026-03-07"]


@dataclass
class Ui:
    """The UI's server and the daemon's steps for backfills and runs, in the test's own process."""

    process: WorkspaceProcessContext
    instance: dg.DagsterInstance
    warehouse: Warehouse
    api: PausedSandbox
    schema: Any

    def ask(self, mutation: str, **variables: Any) -> dict[str, Any]:
        context = self.process.create_request_context()
        answer = asyncio.run(self.schema.execute_async(mutation, context_value=context, variable_values=variables))
        assert not answer.errors, answer.errors
        [result] = answer.data.values()
        assert "message" not in result, result
        return dict(result)

    def backfill(self, days: list[str]) -> list[dg.DagsterRun]:
        """Launch a backfill and let the daemon create its runs, which are queued."""
        backfill_id = self.ask(BACKFILL, days=days)["backfillId"]
        self.iterate(execute_backfill_iteration(self.process, LOGGER))
        return list(self.instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill_id})))

    def iterate(self, iteration: Iterator[Any]) -> None:
        """Let a part of the daemon do its work once."""
        assert [error for error in iteration if error] == []

    def start(self, run_id: str) -> None:
        """Start a queued run."""
        self.instance.launch_run(run_id, self.process.create_request_context())

    def wait_for(self, run_id: str, status: dg.DagsterRunStatus) -> None:
        def has() -> None:
            run = self.instance.get_run_by_id(run_id)
            assert run is not None
            assert run.status == status

        until(has)

    def landed_by(self, run_id: str) -> list[str]:
        landed = ask(self.warehouse, "SELECT day FROM topo.loads WHERE run_id = ? ORDER BY day", run_id)
        return [str(day) for (day,) in landed]


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    folder = tmp_path_factory.mktemp("ui")
    home, api = prepared(folder / "home"), PausedSandbox()
    with serve(api) as address, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DAGSTER_HOME", str(home))
        environment.setenv("TOPO_API_URL", f"{address}/v1")
        environment.setenv("TOPO_WAREHOUSE", str(folder / "topo.duckdb"))
        target = ModuleTarget("topo_pipeline.definitions", None, str(CHECKOUT), "topo_pipeline")
        with (
            dg.DagsterInstance.from_config(str(home)) as instance,
            WorkspaceProcessContext(instance, target) as process,
        ):
            yield Ui(process, instance, Warehouse(str(folder / "topo.duckdb")), api, create_schema())
            api.release.set()


def test_a_backfill_of_two_months_is_one_run(ui: Ui) -> None:
    days = [str(date(2026, 1, 1) + timedelta(days=n)) for n in range(60)]
    [run] = ui.backfill(days)
    assert (run.tags[RANGE_START], run.tags[RANGE_END]) == (days[0], days[-1])
    assert run.asset_selection == {ACTIVITIES}
    ui.instance.report_run_canceled(run)


def test_a_backfill_of_days_is_one_entry_and_is_followed_by_one_run_of_every_table(ui: Ui) -> None:
    days = [date(2026, 3, 9) + timedelta(days=n) for n in range(3)]
    ui.iterate(execute_backfill_iteration(ui.process, LOGGER))  # it ends the backfills of other tests
    before = {entry["id"] for entry in ui.ask(ENTRIES)["results"]}

    [run] = ui.backfill([str(day) for day in days])
    assert follow_up(ui.instance) is None
    ui.start(run.run_id)
    ui.wait_for(run.run_id, dg.DagsterRunStatus.SUCCESS)
    assert follow_up(ui.instance) is None  # the backfill has not noticed yet
    ui.iterate(execute_backfill_iteration(ui.process, LOGGER))
    ui.iterate(execute_sensor_iteration(ui.process, LOGGER, None, None))

    [following] = ui.instance.get_runs(dg.RunsFilter(tags={"dagster/sensor_name": "tables_follow_what_landed"}))
    assert {key.path[-1] for key in following.asset_selection or ()} == set(TABLES)
    assert range_tags(days[0], days[-1]).items() <= following.tags.items()
    entries = [entry["__typename"] for entry in ui.ask(ENTRIES)["results"] if entry["id"] not in before]
    assert sorted(entries) == ["PartitionBackfill", "Run"]
    ui.instance.report_run_canceled(following)


def test_separate_ranges_of_days_are_separate_runs(ui: Ui) -> None:
    runs = ui.backfill(["2026-02-03", "2026-02-04", "2026-02-07"])
    ranges = {(run.tags.get(RANGE_START), run.tags.get(RANGE_END), run.tags.get("dagster/partition")) for run in runs}
    assert ranges == {("2026-02-03", "2026-02-04", None), ("2026-02-07", "2026-02-07", None)}
    for run in runs:
        ui.instance.report_run_canceled(run)


def test_runs_take_turns_and_re_executing_a_terminated_run_finishes_it(
    ui: Ui,
) -> None:
    [first], [second] = ui.backfill(HELD), ui.backfill(OTHERS)
    ui.start(first.run_id)
    assert ui.api.waiting.wait(PATIENCE)
    ui.start(second.run_id)

    def waits() -> None:
        pool = ui.instance.event_log_storage.get_concurrency_info("topo_api")
        assert [step.run_id for step in pool.pending_steps if not step.assigned_timestamp] == [second.run_id]
        assert [slot.run_id for slot in pool.claimed_slots] == [first.run_id]

    until(waits)
    assert ui.landed_by(second.run_id) == []

    assert ui.ask(TERMINATE, run=first.run_id)["__typename"] == "TerminateRunSuccess"
    ui.wait_for(first.run_id, dg.DagsterRunStatus.CANCELED)
    ui.wait_for(second.run_id, dg.DagsterRunStatus.SUCCESS)
    assert ui.landed_by(first.run_id) == HELD[:1]
    assert ui.landed_by(second.run_id) == OTHERS
    materialized = ui.instance.get_materialized_partitions
    assert materialized(ACTIVITIES) & {*HELD, *OTHERS} == {*HELD[:1], *OTHERS}

    ui.api.release.set()
    again = ui.ask(RE_EXECUTE, run=first.run_id, strategy="ALL_STEPS")["run"]["runId"]
    ui.start(again)
    ui.wait_for(again, dg.DagsterRunStatus.SUCCESS)
    assert ui.landed_by(again) == HELD[1:]
    assert materialized(ACTIVITIES) >= {*HELD, *OTHERS}
