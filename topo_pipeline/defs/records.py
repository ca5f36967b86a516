"""Read days from Dagster's records, for sensors and schedules, which never open the warehouse."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime

import dagster as dg

from topo_pipeline.automation.facts import LastLoad, RunInProgress
from topo_pipeline.days import CLOSING_TIME
from topo_pipeline.defs.names import ACTIVITIES
from topo_pipeline.defs.partitions import RANGE_END, RANGE_START, daily, date_at, day_of, key_of

_PARTITION = "dagster/partition"
ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
IN_PROGRESS = [status for status in dg.DagsterRunStatus if status not in ENDED]
# Records per query, and records or runs to search for one day.
_BATCH, _LIMIT = 500, 50


def last_loads(instance: dg.DagsterInstance, days: Iterable[date] | None = None) -> dict[date, LastLoad | None]:
    """Return the last load of each landed day, limited to `days` if given.

    The load comes from the latest materialization with a load's metadata, which one reported in the UI lacks. None if
    no recent one has it.
    """
    wanted = None if days is None else {key_of(day) for day in days}
    if wanted == set():
        return {}
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    newest = instance.get_latest_storage_id_by_partition(ACTIVITIES, kind, wanted)
    ids = sorted(newest.values())
    loads: dict[str, LastLoad | None] = dict.fromkeys(newest)
    for start in range(0, len(ids), _BATCH):
        loads |= _loads(instance, dg.AssetRecordsFilter(ACTIVITIES, storage_ids=ids[start : start + _BATCH]), _BATCH)
    for unknown in [key for key, load in loads.items() if load is None]:
        loads |= _loads(instance, dg.AssetRecordsFilter(ACTIVITIES, asset_partitions=[unknown]), _LIMIT)
    return {day_of(key).day: load for key, load in loads.items()}


def _loads(instance: dg.DagsterInstance, filters: dg.AssetRecordsFilter, limit: int) -> dict[str, LastLoad]:
    """Return the latest load of each partition among the materializations that have a load's metadata."""
    records = instance.fetch_materializations(filters, limit).records  # latest first
    found: dict[str, LastLoad] = {}
    for record in records:
        load = _load(record.asset_materialization.metadata if record.asset_materialization else {})
        if load is not None and record.partition_key is not None:
            found.setdefault(record.partition_key, load)
    return found


def _load(metadata: Mapping[str, dg.MetadataValue]) -> LastLoad | None:
    match {name: entry.value for name, entry in metadata.items()}:
        case {
            "asked_after": float(after),
            "asked_before": float(before),
            "api_total_count": int(count),
            "is_open": bool(is_open),
        }:
            return LastLoad(datetime.fromtimestamp(after, UTC), datetime.fromtimestamp(before, UTC), count, is_open)
    return None


def failed_days(instance: dg.DagsterInstance, days: Iterable[date]) -> set[date]:
    """Return those of `days` whose last read failed (red in the UI), even if an earlier one landed."""
    keys = {key_of(day): day for day in days}
    statuses = instance.get_status_by_partition(ACTIVITIES, list(keys), daily) or {}
    return {keys[key] for key, status in statuses.items() if status == dg.AssetPartitionStatus.FAILED}


def why_refused(instance: dg.DagsterInstance, day: date) -> str | None:
    """Return why a day did not land, from the latest failed run that refused it; None if no recent one did."""
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
    for run in instance.get_runs(failed, limit=_LIMIT):  # latest first
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
            failure = entry.get_dagster_event().step_failure_data.user_failure_data
            match {name: value.value for name, value in (failure.metadata if failure else {}).items()}:
                case {"reasons": dict(reasons)} if str(day) in reasons:
                    return str(reasons[str(day)])
    return None


def runs_in_progress(instance: dg.DagsterInstance) -> list[RunInProgress]:
    """Return the queued and running runs that read days of the activities."""
    records = instance.get_run_records(dg.RunsFilter(statuses=IN_PROGRESS))
    return [found for record in records if (found := _run_in_progress(record)) is not None]


def has_run_in_progress(instance: dg.DagsterInstance, job: str) -> bool:
    """Return whether a run of this job is queued or running."""
    return bool(instance.get_runs(dg.RunsFilter(job_name=job, statuses=IN_PROGRESS), limit=1))


def _run_in_progress(record: dg.RunRecord) -> RunInProgress | None:
    run = record.dagster_run
    first, last = (run.tags.get(end, run.tags.get(_PARTITION)) for end in (RANGE_START, RANGE_END))
    if first is None or last is None or ACTIVITIES not in (run.asset_selection or {ACTIVITIES}):
        return None
    started_on = None
    if record.start_time is not None:
        started_on = date_at(datetime.fromtimestamp(record.start_time, UTC) - CLOSING_TIME)
    return RunInProgress(day_of(first).day, day_of(last).day, started_on)
