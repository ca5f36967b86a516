"""Doctor's checks of the warehouse, its days, the Dagster home, runs and automation."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import stamina
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat

from topo_pipeline.definitions import defs
from topo_pipeline.defs.records import load_metadata, why_refused
from topo_pipeline.doctor import Finding, landed
from topo_pipeline.orchestration import ranged_runs as runs
from topo_pipeline.orchestration.instance import POOLS
from topo_pipeline.settings import Settings, get_settings
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import Load
from topo_pipeline.warehouse.workspace import bind_timezone
from topo_pipeline_tests.defs.conftest import ACTIVITIES
from topo_pipeline_tests.doctor.conftest import Examine, now
from topo_pipeline_tests.orchestration.test_orphaned_runs import prepared, started
from topo_pipeline_tests.warehouse.builders import LANDED, activity, land_into, noon, path_of, reading
from topo_pipeline_tests.warehouse.worker import worker

if TYPE_CHECKING:
    from topo_pipeline_tests.services.postgres import Database
    from topo_pipeline_tests.services.s3 import Bucket

DaysAgo = Callable[[int], date]


@pytest.fixture
def days_ago() -> DaysAgo:
    """Dates relative to a fixed today, even if midnight passes during the test."""
    today = now().date()
    return lambda days: today - timedelta(days=days)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"), wait_seconds=0.01)
    with warehouse.transaction() as connection:
        bind_timezone(connection, "UTC", now=LANDED)
    return warehouse


def land(warehouse: Warehouse, day: date, **changes: object) -> Load:
    return land_into(warehouse, reading(activity(day.toordinal(), at=noon(day)), day=day, **changes), now=noon(day))


def change(warehouse: Warehouse, sql: str) -> None:
    with warehouse.transaction() as connection:
        connection.execute(sql)


@pytest.fixture(scope="module")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Dagster home without runs, to be copied, because creating one is slow."""
    home = prepared(tmp_path_factory.mktemp("dagster") / "home")
    dg.DagsterInstance.from_config(str(home)).dispose()
    return home


@pytest.fixture
def dagster_home(tmp_path: Path, empty_home: Path) -> Path:
    return shutil.copytree(empty_home, tmp_path / "home")


def test_a_healthy_installation_has_only_ok_findings(
    finds: Examine, warehouse: Warehouse, dagster_home: Path, days_ago: DaysAgo
) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        for ago in (3, 2, 1):
            record(instance, land(warehouse, days_ago(ago)))
    assert {finding.level for finding in finds().values()} == {"ok"}


def test_days_that_the_records_or_the_warehouse_lack_are_a_problem_with_a_fix(
    finds: Examine, warehouse: Warehouse, dagster_home: Path, days_ago: DaysAgo
) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        record(instance, land(warehouse, days_ago(3)))
        land(warehouse, days_ago(2))
    found = finds()["records"]
    assert (found.level, found.found) == (
        "problem",
        f"Dagster's records lack the last load of these landed days: {days_ago(2)}.",
    )
    assert "DAGSTER_HOME" in found.do

    path_of(warehouse).unlink()
    findings = finds()
    assert "records" in findings["warehouse"].do
    found = findings["records"]
    assert (found.level, found.found) == (
        "problem",
        f"Dagster has records of loads that are not in {path_of(warehouse)}: {days_ago(3)}.",
    )
    assert "TOPO_WAREHOUSE" in found.do
    assert f"topo-pipeline backfill {days_ago(3)} (" in found.do


def record(instance: dg.DagsterInstance, load: Load) -> None:
    """Add a load to Dagster's records."""
    day = str(load.day)
    instance.report_runless_asset_event(
        dg.AssetMaterialization(ACTIVITIES, partition=day, metadata=load_metadata(load))
    )


def test_missing_open_and_unproved_days_are_named(finds: Examine, warehouse: Warehouse, days_ago: DaysAgo) -> None:
    land(warehouse, days_ago(7))
    land(warehouse, days_ago(6), is_open=True)
    land(warehouse, days_ago(5), proved=False)
    at = now()
    found = finds(clock=lambda: at)["days"]
    assert found.level == "warning"
    due = landed.last_due_day(at, Settings().zone)
    assert f"missing ({days_ago(4)} to {due})" in found.found
    assert f"1 last read before they were over ({days_ago(6)})" in found.found
    assert f"1 not proved ({days_ago(5)})" in found.found
    assert found.do.splitlines()[1:] == [
        f"topo-pipeline backfill {days_ago(6)} {due} --missing",
        f"topo-pipeline backfill {days_ago(5)}",
    ]


def test_one_command_reads_the_missing_days(finds: Examine, warehouse: Warehouse, days_ago: DaysAgo) -> None:
    for ago in (9, 7, 5):
        land(warehouse, days_ago(ago))
    at = now()
    due = landed.last_due_day(at, Settings().zone)
    command = finds(clock=lambda: at)["days"].do.splitlines()[1]
    assert command == f"topo-pipeline backfill {days_ago(8)} {due} --missing"
    for ago in (8, 6):
        land(warehouse, days_ago(ago))
    assert finds(clock=lambda: at)["days"].do.splitlines()[1] == f"topo-pipeline backfill {days_ago(4)} {due}"


def test_unreadable_rows_are_counted_by_day(finds: Examine, warehouse: Warehouse, days_ago: DaysAgo) -> None:
    land(warehouse, days_ago(2), rejected=(1, 2))
    land(warehouse, days_ago(1))
    found = finds()
    assert found["days"].level == "ok"
    assert found["unreadable"].level == "warning"
    assert found["unreadable"].found == f"2 rows could not be read: {days_ago(2)} (2)."
    assert "topo.rejects" in found["unreadable"].do


def test_the_process_that_holds_the_warehouse_is_named(finds: Examine, warehouse: Warehouse, days_ago: DaysAgo) -> None:
    with worker(warehouse, "hold", days_ago(1)) as holder:
        holder.expect("inside")
        found = finds()
        holder.resume()
    assert found["warehouse"].level == "warning"
    assert f"process {holder.process.pid}" in found["warehouse"].found
    assert found["days"].found == "Not checked: the warehouse can't be read."


@pytest.mark.parametrize(
    ("sql", "level", "says"),
    [
        ("DELETE FROM topo.migrations WHERE version > 1", "warning", "older topo-pipeline"),
        ("INSERT INTO topo.migrations VALUES (999, 'of tomorrow')", "problem", "upgrade"),
        ("UPDATE topo.workspace SET timezone = 'Europe/Paris'", "problem", "Europe/Paris"),
        ("UPDATE topo.workspace SET organization_id = uuid()", "problem", "the key belongs to"),
    ],
)
def test_a_warehouse_of_another_version_or_workspace_is_reported(
    finds: Examine, warehouse: Warehouse, sql: str, level: str, says: str
) -> None:
    change(warehouse, sql)
    found = finds()["warehouse"]
    assert found.level == level
    assert says in found.found


def test_a_file_that_is_not_a_warehouse_is_a_problem(finds: Examine, tmp_path: Path) -> None:
    (tmp_path / "topo.duckdb").write_text("not a database")
    assert finds()["warehouse"].level == "problem"


def test_an_unwritable_folder_is_a_problem_and_the_other_checks_still_run(finds: Examine, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    found = finds(TOPO_WAREHOUSE="data/topo.duckdb", DAGSTER_HOME=str(tmp_path / "data" / "home"))
    assert found["warehouse"].level == "problem"
    assert "can't be written" in found["warehouse"].found
    assert found["dagster home"].level == "problem"
    assert found["key"].level == "ok"


def test_an_invalid_dagster_yaml_is_a_one_line_problem(finds: Examine, dagster_home: Path) -> None:
    (dagster_home / "dagster.yaml").write_text("concurrency: [")
    found = finds()["dagster home"]
    assert found.level == "problem"
    assert "\n" not in found.found


def test_damaged_dagster_records_are_a_problem_and_the_other_checks_still_run(
    finds: Examine, dagster_home: Path, warehouse: Warehouse, days_ago: DaysAgo
) -> None:
    land(warehouse, days_ago(1))
    file = dagster_home / "history" / "runs.db"
    file.write_bytes(b"no database " * 1000)
    found = finds()
    assert found["dagster home"].level == "problem"
    assert str(file) in found["dagster home"].found
    assert f"{file}.damaged" in found["dagster home"].do
    assert {found[check].level for check in ("settings", "key", "warehouse", "days")} == {"ok"}
    assert found["automation"].found == "Not checked: the Dagster home can't be used."


LIMITS = [(None, 1), ("op, default_limit: 4", None), ("run", 1), ("op", 4), ("op", 1)]


@pytest.mark.parametrize(("pools", "limit"), LIMITS)
def test_pools_that_are_not_limited_to_one_are_a_problem(
    finds: Examine, dagster_home: Path, pools: str | None, limit: int | None
) -> None:
    file = dagster_home / "dagster.yaml"
    file.unlink() if pools is None else file.write_text(f"concurrency: {{pools: {{granularity: {pools}}}}}")
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        for pool in POOLS if limit else ():
            instance.event_log_storage.set_concurrency_slots(pool, limit)
    assert (finds()["dagster home"].level != "problem") == ((pools, limit) == ("op", 1))


@pytest.fixture
def instance(dagster_home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        yield instance


def test_an_orphaned_run_is_failed_and_reported(finds: Examine, instance: dg.DagsterInstance) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:  # noqa: S603
        ended.wait()
    run = started(instance, f"{socket.gethostname()}:{ended.pid}:{{run}}")
    found = finds()["runs"]
    assert found.level == "warning"
    assert run.run_id.partition("-")[0] in found.found
    assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]
    assert finds()["runs"].level == "ok"


def test_a_run_in_progress_is_reported_and_not_changed(finds: Examine, instance: dg.DagsterInstance) -> None:
    run = started(instance, f"{socket.gethostname()}:{os.getpid()}:{{run}}")
    found = finds()["runs"]
    assert (found.level, run.run_id.partition("-")[0] in found.found) == ("ok", True)
    assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.STARTED]


def test_refused_days_are_named(finds: Examine, instance: dg.DagsterInstance, days_ago: DaysAgo) -> None:
    [activities] = [asset for asset in defs.assets or () if asset.key == ACTIVITIES]
    reading = dg.Definitions(
        [activities],
        jobs=[job for job in defs.jobs or () if job.name == "refresh"],
        resources=defs.resources,
        executor=defs.executor,
    )
    with stamina.set_testing(True, attempts=1):
        # The tests' default API can't be reached.
        outcome = runs.backfill(reading, [days_ago(3)], instance=instance, on_progress=lambda _: None)
    assert outcome.landed == ()
    found = finds()["failed days"]
    assert found.level == "warning"
    assert str(days_ago(3)) in found.found
    [problem] = outcome.problems
    counted, reason, command = problem.splitlines()
    assert counted == "1 of 1 day did not land."
    assert command == f"To try again: topo-pipeline backfill {days_ago(3)}"
    said, again = found.do.splitlines()
    assert said == f"Reason for {reason}. To try again:"
    assert again in command
    assert why_refused(instance, get_settings(), days_ago(4)) is None


def switch(instance: dg.DagsterInstance, schedule: str, status: InstigatorStatus) -> None:
    """Set a schedule's status as the UI does."""
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(executable_path=sys.executable), location_name="here")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), schedule)
    state = InstigatorState(origin, InstigatorType.SCHEDULE, status, ScheduleInstigatorData("15 1 * * *"))
    instance.add_instigator_state(state)


def automation(finds: Examine, setting: str) -> Finding:
    return finds(TOPO_AUTOMATION=setting)["automation"]


def add_heartbeat(instance: dg.DagsterInstance, minutes_ago: int = 0) -> None:
    at = now() - timedelta(minutes=minutes_ago)
    instance.add_daemon_heartbeat(DaemonHeartbeat(at.timestamp(), "SENSOR", "it", []))


def test_automation_needs_a_running_daemon(finds: Examine, instance: dg.DagsterInstance) -> None:
    assert automation(finds, "off").level == "ok"
    never = automation(finds, "on")
    assert (never.level, "has never run" in never.found) == ("problem", True)
    add_heartbeat(instance, minutes_ago=30)
    assert automation(finds, "on").level == "problem"
    add_heartbeat(instance)
    assert automation(finds, "on").level == "ok"


def test_a_schedule_that_was_stopped_in_the_ui_is_a_warning(finds: Examine, instance: dg.DagsterInstance) -> None:
    add_heartbeat(instance)
    switch(instance, "nightly_refresh_schedule", InstigatorStatus.STOPPED)
    on = automation(finds, "on")
    assert (on.level, on.found) == ("warning", "On, except nightly_refresh_schedule.")


def test_a_schedule_that_was_started_in_the_ui_needs_a_daemon(finds: Examine, instance: dg.DagsterInstance) -> None:
    switch(instance, "nightly_refresh_schedule", InstigatorStatus.RUNNING)
    assert automation(finds, "off").level == "problem"


def test_an_unexpected_error_in_a_check_is_a_problem(
    finds: Examine, monkeypatch: pytest.MonkeyPatch, dagster_home: Path
) -> None:
    def broken(*_: object) -> Iterator[Finding]:
        raise RuntimeError(f"with {os.environ['TOPO_API_KEY']} in it\nand more")

    monkeypatch.setattr(landed, "look_at_days", broken)
    found = finds()
    assert (found["days"].level, found["days"].found) == (
        "problem", "The check failed: RuntimeError: with [key] in it.",
    )  # fmt: skip
    assert found["dagster home"].level == "ok"


def test_the_bucket_of_a_lake_is_checked_before_the_first_load(
    finds: Examine, postgres_database: "Database", s3_bucket: "Bucket"
) -> None:
    lake = {
        "TOPO_WAREHOUSE": f"ducklake:postgres:{postgres_database.dsn}",
        "TOPO_LAKE_DATA_PATH": f"{s3_bucket.url}/lake",
    }
    assert "There is no warehouse" in finds(**lake)["warehouse"].found
    found = finds(**lake, AWS_SECRET_ACCESS_KEY="hunter2")  # noqa: S106 - of nothing
    assert found["warehouse"].level == "problem"
    assert "403 Forbidden" in found["warehouse"].found
    assert "AWS_" in found["warehouse"].do
    assert "hunter2" not in str(found)
    assert s3_bucket.keys() == []
