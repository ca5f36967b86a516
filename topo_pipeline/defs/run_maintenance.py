"""What looks after Dagster's runs: failing orphaned ones, and deleting old ones.

A run is orphaned if its process is gone. The executor tags each run with its process, and a sensor fails the orphaned
runs. Another sensor deletes old runs. Deleting a run also deletes its events, including materializations, so a run that
holds the latest record of a day, a table or a check is kept at any age.
"""

import math
import os
import re
import socket
from collections.abc import Collection, Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
from dagster._core.storage.asset_check_execution_record import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES

from topo_pipeline.defs import names
from topo_pipeline.defs.messages import skip_on_error
from topo_pipeline.defs.records import ENDED, IN_PROGRESS, latest_materializations, materializations_of
from topo_pipeline.defs.resources import Clock
from topo_pipeline.settings import Settings

# The tag with a run's process. A killed process leaves its run "started" and its pool slot claimed for ever.
_OWNER = ".dagster/topo_pipeline_owner"  # the UI hides tags with this prefix
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


def fail_orphaned_runs(instance: dg.DagsterInstance, settings: Settings) -> list[str]:
    """Fail the runs whose process on this machine is gone, free their pool slots, and return their ids."""
    orphaned = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED)):
        run = record.dagster_run
        pid = process_of(run) if names.is_own(settings, run) else None
        if pid is not None and not _is_alive(pid, record.start_time or math.inf):
            if run.status == dg.DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, "Its process is gone.")
            else:
                instance.report_run_failed(run, "Its process was killed.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            orphaned.append(run.run_id)
    return orphaned


def process_of(run: dg.DagsterRun) -> int | None:
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
@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fails runs whose process was killed. They would otherwise block tables and the pool for hours.",
)
def killed_runs_sensor(context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]) -> dg.SkipReason:
    """Fail orphaned runs."""
    ended = fail_orphaned_runs(context.instance, settings)
    return dg.SkipReason(f"Ended orphaned runs: {', '.join(ended)}." if ended else "No orphaned runs.")


def old_records_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor. It is on by default if TOPO_DAGSTER_RECORD_DAYS is set."""
    status = dg.DefaultSensorStatus.RUNNING if settings.dagster_record_days else dg.DefaultSensorStatus.STOPPED
    return dg.sensor(
        name="old_records_sensor",
        minimum_interval_seconds=3600,
        default_status=status,
        description=_delete_old_runs.__doc__,
    )(skip_on_error(_delete_old_runs))


def _delete_old_runs(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings], clock: dg.ResourceParam[Clock]
) -> dg.SkipReason:
    """Deletes runs older than TOPO_DAGSTER_RECORD_DAYS and their events, except runs that are still needed."""
    from topo_pipeline.automation.pruning import runs_to_delete

    if settings.dagster_record_days is None:
        return dg.SkipReason("No runs are deleted. Set TOPO_DAGSTER_RECORD_DAYS.")
    instance, before = context.instance, clock() - timedelta(days=settings.dagster_record_days)
    ended = instance.get_runs(dg.RunsFilter(statuses=list(ENDED), updated_before=before))  # newest first
    old = [run.run_id for run in ended if names.is_own(settings, run)]
    checks = context.repository_def.asset_graph.asset_check_keys if context.repository_def else ()
    deleted = runs_to_delete(old[::-1], needed_runs(instance, settings, checks) if old else ())
    for run in deleted:
        _delete(instance, run)
    return dg.SkipReason(f"Deleted {len(deleted)} of {len(old)} runs that ended before {before:%Y-%m-%d %H:%M UTC}.")


def _delete(instance: dg.DagsterInstance, run: str) -> None:
    """Delete a run with its events and logs, and the event file, which Dagster leaves behind empty."""
    from dagster._core.storage.event_log import SqliteEventLogStorage

    instance.delete_run(run)
    instance.compute_log_manager.delete_logs(prefix=[run])
    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        for suffix in ("", "-wal", "-shm"):
            Path(f"{storage.path_for_shard(run)}{suffix}").unlink(missing_ok=True)


def needed_runs(instance: dg.DagsterInstance, settings: Settings, checks: Collection[dg.AssetCheckKey]) -> set[str]:
    """Return the runs that hold the latest record of an asset, partition or check, or that a run now re-executes."""
    storage, needed = instance.event_log_storage, set(_re_executed(instance))
    keys = [key for key in instance.all_asset_keys() if settings.organization in (None, key.path[0])]
    for record in instance.get_asset_records(keys):
        entry = record.asset_entry
        latest = (entry.last_materialization_record, entry.last_observation_record)
        needed |= {event.run_id for event in latest if event}
        needed |= {run for run in (entry.last_run_id, entry.last_planned_materialization_run_id) if run}
        needed |= set(_last_of_each_partition(instance, entry.asset_key))
        # Because of this failed run, the next nightly refresh reads the day again.
        attempts = storage.get_latest_asset_partition_materialization_attempts_without_materializations(entry.asset_key)
        needed |= {run for run, _ in attempts.values()}
    for check in checks:
        needed |= {record.run_id for record in storage.get_asset_check_execution_history(check, limit=1)}
        completed = storage.get_asset_check_execution_history(
            check, limit=1, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
        )
        needed |= {record.run_id for record in completed}
    return needed


def _last_of_each_partition(instance: dg.DagsterInstance, asset: dg.AssetKey) -> Iterator[str]:
    for key, record in latest_materializations(instance, asset):
        yield record.run_id
        if not record.run_id:  # reported by hand: an earlier run has the load's metadata
            yield from (before.run_id for before in materializations_of(instance, asset, key))


def _re_executed(instance: dg.DagsterInstance) -> Iterator[str]:
    for in_progress in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS)):
        run: dg.DagsterRun | None = in_progress
        while run and run.parent_run_id:
            yield run.parent_run_id
            run = instance.get_run_by_id(run.parent_run_id)
