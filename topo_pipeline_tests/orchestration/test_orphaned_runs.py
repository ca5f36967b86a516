"""Orphaned runs are failed and release their pool slot."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring import execute_concurrency_slots_iteration, execute_run_monitoring_iteration
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from topo_pipeline.alerts.streaks import Failure
from topo_pipeline.definitions import defs
from topo_pipeline.defs import run_maintenance
from topo_pipeline.defs.executor import one_process
from topo_pipeline.defs.notifications import outcomes
from topo_pipeline.defs.run_maintenance import fail_orphaned_runs, killed_runs_sensor, owner_tag
from topo_pipeline.orchestration.errors import AlreadyReading
from topo_pipeline.orchestration.instance import prepare, require_no_reader
from topo_pipeline.sandbox.server import serve
from topo_pipeline_tests.command_line import Forked
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.defs.conftest import SETTINGS, follow_up
from topo_pipeline_tests.engagement.helpers import TABLES
from topo_pipeline_tests.orchestration.test_killed_runs import RANGE, PausedSandbox

STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE


@pytest.fixture(scope="module")
def after_a_kill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Dagster home whose run was killed after it landed one of three days."""
    folder = tmp_path_factory.mktemp("killed")
    api = PausedSandbox()
    with serve(api) as address:
        backfill = Forked(
            folder, "backfill", *RANGE, tables=(), TOPO_API_URL=f"{address}/v1", DAGSTER_HOME=str(folder / "home")
        )
        backfill.read_until("2026-03-02 landed")
        assert api.waiting.wait(PATIENCE)
        backfill.kill()
        api.release.set()
    return folder / "home"


@pytest.fixture
def killed(after_a_kill: Path, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance with a copy of that home."""
    home = shutil.copytree(after_a_kill, tmp_path / "home")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert statuses(instance) == [STARTED]
        assert slots(instance) == (1, 1)
        yield instance


def prepared(home: Path) -> Path:
    """Create the home as our commands do."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DAGSTER_HOME", "")  # prepare sets it; this restores it afterwards
        prepare(home)
    return home


def statuses(instance: dg.DagsterInstance) -> list[dg.DagsterRunStatus]:
    return [run.status for run in instance.get_runs()]


def slots(instance: dg.DagsterInstance) -> tuple[int, int]:
    """Return the number of claimed slots and of all slots of the pool `topo_api`."""
    pool = instance.event_log_storage.get_concurrency_info("topo_api")
    return pool.active_slot_count, pool.slot_count


def test_the_sensor_fails_an_orphaned_run_releases_its_slot_and_the_tables_follow(killed: dg.DagsterInstance) -> None:
    with pytest.raises(AlreadyReading):
        require_no_reader(killed, SETTINGS)
    assert follow_up(killed) is None

    with dg.build_sensor_context(instance=killed, resources={"settings": SETTINGS}) as context:
        killed_runs_sensor.evaluate_tick(context)

    assert statuses(killed) == [FAILURE]
    assert slots(killed) == (0, 1)
    require_no_reader(killed, SETTINGS)
    request = follow_up(killed)
    assert request is not None
    assert {key.path[-1] for key in request.asset_selection or ()} == set(TABLES)


def test_an_orphaned_run_is_reported_as_a_failure_of_its_step(killed: dg.DagsterInstance) -> None:
    [run_id] = fail_orphaned_runs(killed, SETTINGS)
    [record] = killed.get_run_records()
    [failure] = outcomes(killed, SETTINGS, [record], [], []).failures
    assert failure == Failure("topo/activities", failure.at, run_id.partition("-")[0], "Its process was killed.")


def test_without_the_sensor_run_monitoring_fails_it_after_the_maximum_runtime(killed: dg.DagsterInstance) -> None:
    logger = dg.get_dagster_logger()
    [record] = killed.get_run_records()
    began = datetime.fromtimestamp(record.start_time or 0, UTC)
    with WorkspaceProcessContext(killed, EmptyWorkspaceTarget()) as workspace:

        def daemon(after: timedelta) -> None:
            with freeze_time(began + after):
                assert [error for error in execute_run_monitoring_iteration(workspace, logger) if error] == []
                assert [error for error in execute_concurrency_slots_iteration(workspace, logger) if error] == []

        daemon(timedelta(hours=11, minutes=59))
        assert statuses(killed) == [STARTED]
        daemon(timedelta(hours=12, minutes=1))
        assert statuses(killed) == [FAILURE]
        daemon(timedelta(hours=12, minutes=3))
    assert slots(killed) == (0, 1)


@dg.job(executor_def=one_process(SETTINGS))
def nothing() -> None:
    """No step."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def started(instance: dg.DagsterInstance, owner: str) -> dg.DagsterRun:
    """Start a run with this owner in its tag; `{run}` is replaced by the run's id."""
    run = instance.create_run_for_job(nothing)
    instance.add_run_tags(run.run_id, {".dagster/topo_pipeline_owner": owner.format(run=run.run_id)})
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", "nothing"), run.run_id)
    return run


HERE = socket.gethostname()


@pytest.fixture
def zombie() -> Iterator[int]:
    """The id of a process that has ended and that its parent has not waited for."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:  # noqa: S603
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        yield process.pid


def test_a_run_of_a_zombie_process_is_failed(instance: dg.DagsterInstance, zombie: int) -> None:
    run = started(instance, f"{HERE}:{zombie}:{{run}}")
    assert fail_orphaned_runs(instance, SETTINGS) == [run.run_id]
    assert fail_orphaned_runs(instance, SETTINGS) == []


def test_a_process_that_started_after_the_run_is_not_its_owner(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started(instance, f"{HERE}:{os.getpid()}:{{run}}")
    assert fail_orphaned_runs(instance, SETTINGS) == []
    monkeypatch.setattr(run_maintenance, "_CLOCKS_DIFFER", -timedelta(days=1).total_seconds())
    assert fail_orphaned_runs(instance, SETTINGS) == [run.run_id]


@pytest.mark.parametrize(
    "owner",
    ["elsewhere:{pid}:{{run}}", f"{HERE}:{{pid}}:its parent's", "", "nonsense"],
    ids=["on another machine", "a re-execution with its parent's tag", "no owner", "invalid"],
)
def test_a_run_of_an_unknown_process_is_not_changed(instance: dg.DagsterInstance, zombie: int, owner: str) -> None:
    started(instance, owner.format(pid=zombie))
    assert fail_orphaned_runs(instance, SETTINGS) == []
    assert statuses(instance) == [STARTED]


INVALID_PIDS = ["-1", "0", "1_0", " 7", "²", "٣", "1.5", "1e3", "9" * 30, "0x1f", "07"]


OWNERS = st.tuples(
    st.sampled_from(["{}", f"{HERE}:{{}}", f"{HERE}:{{}}:RUN", "{}:1:RUN"]),
    st.text() | st.from_regex(r"[0-9:]*"),
)


def test_an_invalid_owner_tag_fails_no_run_and_raises_no_error() -> None:
    with dg.DagsterInstance.ephemeral() as instance:

        @settings(max_examples=30)
        @given(OWNERS)
        def check(owner: tuple[str, str]) -> None:
            form, text = owner
            assume(not (text.isascii() and text.isdecimal() and 1 <= int(text) < 10**10))  # a valid process id
            run = dg.DagsterRun("nothing", status=STARTED)
            tag = form.format(text).replace("RUN", run.run_id)
            instance.add_run(run.with_tags({".dagster/topo_pipeline_owner": tag}))
            assert fail_orphaned_runs(instance, SETTINGS) == []
            instance.delete_run(run.run_id)

        for invalid in INVALID_PIDS:
            check = example((f"{HERE}:{{}}:RUN", invalid))(check)
        check()


def test_every_run_is_tagged_with_its_process(tmp_path: Path) -> None:
    with dg.DagsterInstance.from_config(str(prepared(tmp_path))) as instance:
        result = dg.execute_job(dg.reconstructable(nothing), instance=instance)
        [run] = instance.get_runs()
    assert result.success
    assert owner_tag(run.run_id).items() <= run.tags.items()
    assert isinstance(defs.executor, dg.ExecutorDefinition)
    assert defs.executor.name == one_process(SETTINGS).name
