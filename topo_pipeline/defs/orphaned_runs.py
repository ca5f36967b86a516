"""Orphaned runs: the executor tags each run with its process, and a sensor fails runs whose process is gone."""

import math
import os
import re
import socket
from collections.abc import Iterator
from typing import Any

import dagster as dg

# The tag with a run's process. A killed process leaves its run "started" and its pool slot claimed for ever.
_OWNER = "topo_pipeline/owner"
UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
# Seconds by which the system's start time of a process may be off.
_CLOCKS_DIFFER = 60


def owner_tag(run_id: str) -> dict[str, str]:
    """Return the tag of a run in this process, with the run id, because a re-execution copies its parent's tags."""
    return {_OWNER: f"{socket.gethostname()}:{os.getpid()}:{run_id}"}


def fail_orphaned_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs whose process on this machine is gone, free their pool slots, and return their ids."""
    orphaned = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED)):
        run = record.dagster_run
        pid = _process_of(run)
        if pid is not None and not _is_alive(pid, record.start_time or math.inf):
            if run.status == dg.DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, "Its process is gone.")
            else:
                instance.report_run_failed(run, "Its process was killed.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            orphaned.append(run.run_id)
    return orphaned


def _process_of(run: dg.DagsterRun) -> int | None:
    """Return the id of the run's process, or None unless its tag names this machine."""
    here = f"{re.escape(socket.gethostname())}:([1-9][0-9]{{0,9}}):{re.escape(run.run_id)}"
    owner = re.fullmatch(here, run.tags.get(_OWNER, ""))
    return int(owner[1]) if owner else None


def _is_alive(pid: int, started: float) -> bool:
    """Return whether the process of a run that started at `started` still exists, and its id was not reused."""
    import psutil

    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= started + _CLOCKS_DIFFER
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # it belongs to another user


# On by default: it calls no API, and nothing else ends such a run before its maximum runtime.
@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def killed_runs_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Fails runs whose process was killed. They would otherwise block tables and the pool for hours."""
    ended = fail_orphaned_runs(context.instance)
    return dg.SkipReason(f"Ended orphaned runs: {', '.join(ended)}." if ended else "No orphaned runs.")


class _OwnerTaggingExecutor(dg.Executor):
    """Dagster's executor, which also tags the run with its process, so that an orphaned run can be recognized."""

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> Any:
        """The retry mode of the wrapped executor."""
        return self._inner.retries

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """Execute the run in this process."""
        plan_context.instance.add_run_tags(plan_context.run_id, owner_tag(plan_context.run_id))
        yield from self._inner.execute(plan_context, execution_plan)


def _make(context: dg.InitExecutorContext) -> dg.Executor:
    make: Any = dg.in_process_executor.executor_creation_fn
    return _OwnerTaggingExecutor(make(context))


_config: Any = dg.in_process_executor.config_schema
one_process = dg.ExecutorDefinition(
    "in_process",
    config_schema=_config,
    executor_creation_fn=_make,
    description="Executes every step of a run in the run's own process.",
)
