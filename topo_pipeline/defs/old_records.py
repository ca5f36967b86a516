"""The sensor that deletes old runs from Dagster's records, except those that are still needed.

Deleting a run also deletes its events, including materializations. A run that holds the latest record of a day, a table
or a check is therefore kept at any age.
"""

from collections.abc import Collection, Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
from dagster._core.storage.asset_check_execution_record import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
from dagster._core.storage.event_log import SqliteEventLogStorage

from topo_pipeline.defs.resources import Clock
from topo_pipeline.settings import Settings

# Records per query, and records of one day to search if its latest was reported by hand and has no load.
_BATCH, _LIMIT = 500, 50


def old_records_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor. It is on by default if TOPO_DAGSTER_RECORD_DAYS is set."""
    status = dg.DefaultSensorStatus.RUNNING if settings.dagster_record_days else dg.DefaultSensorStatus.STOPPED
    return dg.sensor(
        name="old_records_sensor", minimum_interval_seconds=3600, default_status=status, description=_evaluate.__doc__
    )(_evaluate)


def _evaluate(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings], clock: dg.ResourceParam[Clock]
) -> dg.SkipReason:
    """Deletes runs older than TOPO_DAGSTER_RECORD_DAYS and their events, except runs that are still needed."""
    from topo_pipeline.automation.pruning import runs_to_delete
    from topo_pipeline.defs.records import ENDED

    if settings.dagster_record_days is None:
        return dg.SkipReason("No runs are deleted. Set TOPO_DAGSTER_RECORD_DAYS.")
    instance, before = context.instance, clock() - timedelta(days=settings.dagster_record_days)
    old = instance.get_run_ids(dg.RunsFilter(statuses=list(ENDED), updated_before=before))  # newest first
    checks = context.repository_def.asset_graph.asset_check_keys if context.repository_def else ()
    deleted = runs_to_delete(old[::-1], needed_runs(instance, checks) if old else ())
    for run in deleted:
        _delete(instance, run)
    return dg.SkipReason(f"Deleted {len(deleted)} of {len(old)} runs that ended before {before:%Y-%m-%d %H:%M UTC}.")


def _delete(instance: dg.DagsterInstance, run: str) -> None:
    """Delete a run with its events and logs, and the event file, which Dagster leaves behind empty."""
    instance.delete_run(run)
    instance.compute_log_manager.delete_logs(prefix=[run])
    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        for suffix in ("", "-wal", "-shm"):
            Path(f"{storage.path_for_shard(run)}{suffix}").unlink(missing_ok=True)


def needed_runs(instance: dg.DagsterInstance, checks: Collection[dg.AssetCheckKey]) -> set[str]:
    """Return the runs that hold the latest record of an asset, partition or check, or that a run now re-executes."""
    storage, needed = instance.event_log_storage, set(_re_executed(instance))
    for record in instance.get_asset_records(instance.all_asset_keys()):
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
    newest = instance.get_latest_storage_id_by_partition(asset, dg.DagsterEventType.ASSET_MATERIALIZATION)
    ids = sorted(newest.values())
    for start in range(0, len(ids), _BATCH):
        batch = dg.AssetRecordsFilter(asset, storage_ids=ids[start : start + _BATCH])
        for record in instance.fetch_materializations(batch, _BATCH).records:
            yield record.run_id
            if not record.run_id and record.partition_key:  # reported by hand: an earlier run has the load's metadata
                partition = dg.AssetRecordsFilter(asset, asset_partitions=[record.partition_key])
                yield from (before.run_id for before in instance.fetch_materializations(partition, _LIMIT).records)


def _re_executed(instance: dg.DagsterInstance) -> Iterator[str]:
    from topo_pipeline.defs.records import IN_PROGRESS

    for in_progress in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS)):
        run: dg.DagsterRun | None = in_progress
        while run and run.parent_run_id:
            yield run.parent_run_id
            run = instance.get_run_by_id(run.parent_run_id)
