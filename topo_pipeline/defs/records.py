"""What Dagster's own records say of days: sensors and schedules go by them, and never open the warehouse."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime

import dagster as dg

from topo_pipeline.automation.facts import LastLoad, UnderWay
from topo_pipeline.defs.names import ACTIVITIES
from topo_pipeline.defs.partitions import RANGE_END, RANGE_START, daily, date_at, day_of, key_of
from topo_pipeline.ingest import CLOSING_TIME

_PARTITION = "dagster/partition"
ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
UNDER_WAY = [status for status in dg.DagsterRunStatus if status not in ENDED]
# So many records are read at once; and so far back, where a day's latest one tells nothing.
_BATCH, _BACK = 500, 50


def last_loads(instance: dg.DagsterInstance, days: Iterable[date] | None = None) -> dict[date, LastLoad | None]:
    """The last load of each landed day, or of those of `days` that are landed.

    Of a day, the latest materialisation that tells of a load counts: a run of several days writes two for each, and
    one that a person reports in the UI tells nothing. None where no recent one does.
    """
    wanted = None if days is None else {key_of(day) for day in days}
    if wanted == set():
        return {}
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    newest = instance.get_latest_storage_id_by_partition(ACTIVITIES, kind, wanted)
    ids = sorted(newest.values())
    told: dict[str, LastLoad | None] = dict.fromkeys(newest)
    for start in range(0, len(ids), _BATCH):
        told |= _loads(instance, dg.AssetRecordsFilter(ACTIVITIES, storage_ids=ids[start : start + _BATCH]), _BATCH)
    for silent in [key for key, load in told.items() if load is None]:
        told |= _loads(instance, dg.AssetRecordsFilter(ACTIVITIES, asset_partitions=[silent]), _BACK)
    return {day_of(key).day: load for key, load in told.items()}


def _loads(instance: dg.DagsterInstance, which: dg.AssetRecordsFilter, limit: int) -> dict[str, LastLoad]:
    """The load of which each partition's latest record tells, of those that tell of any."""
    records = instance.fetch_materializations(which, limit).records  # latest first
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
    """Those of `days` whose last reading failed, landed before or not: red in the UI."""
    keys = {key_of(day): day for day in days}
    statuses = instance.get_status_by_partition(ACTIVITIES, list(keys), daily) or {}
    return {keys[key] for key, status in statuses.items() if status == dg.AssetPartitionStatus.FAILED}


def why_refused(instance: dg.DagsterInstance, day: date) -> str | None:
    """Return why a day did not land, as the latest failed run that says so; None where no recent one does."""
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
    for run in instance.get_runs(failed, limit=_BACK):  # latest first
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
            failure = entry.get_dagster_event().step_failure_data.user_failure_data
            told = {name: value.value for name, value in (failure.metadata if failure else {}).items()}
            match told:
                case {"reasons": dict(reasons)} if str(day) in reasons:
                    return str(reasons[str(day)])
    return None


def under_way(instance: dg.DagsterInstance) -> list[UnderWay]:
    """The runs that read days of the activities and have not ended, queued ones included."""
    records = instance.get_run_records(dg.RunsFilter(statuses=UNDER_WAY))
    return [found for record in records if (found := _under_way(record)) is not None]


def is_under_way(instance: dg.DagsterInstance, job: str) -> bool:
    """Whether a run of this job has not ended."""
    return bool(instance.get_runs(dg.RunsFilter(job_name=job, statuses=UNDER_WAY), limit=1))


def _under_way(record: dg.RunRecord) -> UnderWay | None:
    run = record.dagster_run
    first, last = (run.tags.get(end, run.tags.get(_PARTITION)) for end in (RANGE_START, RANGE_END))
    if first is None or last is None or ACTIVITIES not in (run.asset_selection or {ACTIVITIES}):
        return None
    begun_on = None
    if record.start_time is not None:
        begun_on = date_at(datetime.fromtimestamp(record.start_time, UTC) - CLOSING_TIME)
    return UnderWay(day_of(first).day, day_of(last).day, begun_on)
