"""What Dagster's records say about days and runs, and how the days compare with the ledger.

Sensors and schedules decide from these records alone: they never open the warehouse. `compare` and `sync_records` do.
The ledger is right, because it is written in the same transaction as the rows. If the warehouse is lost, replaced by a
backup or configured with a wrong path, Dagster has records of too many loads. If DAGSTER_HOME is lost, it has too few.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.data_version import CODE_VERSION_TAG
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill

from topo_pipeline.common.commands import pasteable
from topo_pipeline.days import CLOSING_TIME, backfill_commands, format_days, last_stretch
from topo_pipeline.defs import names
from topo_pipeline.defs.messages import cause_of
from topo_pipeline.defs.partitions import RANGE_END, RANGE_START, daily_partitions, date_at
from topo_pipeline.engagement.verdicts import Recorded
from topo_pipeline.settings import Settings

if TYPE_CHECKING:
    from topo_pipeline.automation.facts import LastLoad, RunInProgress
    from topo_pipeline.automation.following import LastBuild, Name
    from topo_pipeline.warehouse.connection import Warehouse
    from topo_pipeline.warehouse.landing import Load

_PARTITION = "dagster/partition"
ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
IN_PROGRESS = [status for status in dg.DagsterRunStatus if status not in ENDED]
OPEN_BACKFILLS = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
# Metadata of an observation of the activities that `sync_records` reports.
LOST_DAYS = "lost_days"
BY_HAND = "reported by hand"
# Records per query, and records or runs to search for one day.
_BATCH, _LIMIT = 500, 50


def latest_materializations(
    instance: dg.DagsterInstance, asset: dg.AssetKey, keys: set[str] | None = None
) -> Iterator[tuple[str, dg.EventLogRecord]]:
    """Yield each partition's key, limited to `keys` if given, and its latest materialization."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    ids = iter(sorted(instance.get_latest_storage_id_by_partition(asset, kind, keys).values()))
    while batch := list(islice(ids, _BATCH)):
        for record in instance.fetch_materializations(dg.AssetRecordsFilter(asset, storage_ids=batch), _BATCH).records:
            if record.partition_key is not None:
                yield record.partition_key, record


def materializations_of(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partition_key: str
) -> Sequence[dg.EventLogRecord]:
    """Return the last materializations of a partition, latest first."""
    filters = dg.AssetRecordsFilter(asset, asset_partitions=[partition_key])
    return instance.fetch_materializations(filters, _LIMIT).records


def last_loads(
    instance: dg.DagsterInstance, settings: Settings, days: Iterable[date] | None = None
) -> "dict[date, LastLoad | None]":
    """Return the last load of each landed day, limited to `days` if given.

    The load comes from the latest materialization with a load's metadata, which one reported in the UI lacks. None if
    no recent one has it.
    """
    wanted = None if days is None else {str(day) for day in days}
    if wanted == set():
        return {}
    activities = names.activities(settings)
    loads = {key: _load(record) for key, record in latest_materializations(instance, activities, wanted)}
    for key in [key for key, load in loads.items() if load is None]:
        recent = map(_load, materializations_of(instance, activities, key))
        loads[key] = next((load for load in recent if load is not None), None)
    return {date.fromisoformat(key): load for key, load in loads.items()}


def _load(record: dg.EventLogRecord) -> "LastLoad | None":
    from topo_pipeline.automation.facts import LastLoad

    match _metadata(record):
        case {
            "asked_after": float(after),
            "asked_before": float(before),
            "api_total_count": int(count),
            "is_open": bool(is_open),
        }:
            return LastLoad(datetime.fromtimestamp(after, UTC), datetime.fromtimestamp(before, UTC), count, is_open)
    return None


def _metadata(record: dg.EventLogRecord) -> dict[str, Any]:
    metadata = record.asset_materialization.metadata if record.asset_materialization else {}
    return {name: entry.value for name, entry in metadata.items()}


def recorded_days(
    instance: dg.DagsterInstance, now: datetime, settings: Settings, refused: Collection[date] = ()
) -> list[Recorded]:
    """Return every day that landed, failed or was refused.

    Partitions up to `now` are read. `refused` are days that the current run has refused: Dagster records them only when
    the run ends.
    """
    loads = {date.fromisoformat(key): load_id for key, load_id in recorded_loads(instance, settings)}
    keys = daily_partitions(settings).get_partition_keys(current_time=now)
    failed = failed_days(instance, map(date.fromisoformat, keys), settings) | set(refused)
    return [Recorded(day, loads.get(day), day in failed) for day in sorted(loads.keys() | failed)]


def recorded_loads(instance: dg.DagsterInstance, settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each partition key with the load id of its latest materialization, or `BY_HAND` if that has none."""
    for key, record in latest_materializations(instance, names.activities(settings)):
        yield key, str(_metadata(record).get("load_id", BY_HAND))


def failed_days(instance: dg.DagsterInstance, days: Iterable[date], settings: Settings) -> set[date]:
    """Return those of `days` whose last read failed (red in the UI), even if an earlier one landed."""
    keys = [str(day) for day in days]
    statuses = instance.get_status_by_partition(names.activities(settings), keys, daily_partitions(settings)) or {}
    return {date.fromisoformat(key) for key, status in statuses.items() if status == dg.AssetPartitionStatus.FAILED}


def why_refused(instance: dg.DagsterInstance, settings: Settings, day: date) -> str | None:
    """Return why a day did not land, from the latest failed run that refused it; None if no recent one did."""
    failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=_LIMIT)  # latest first
    for run in (each for each in failed if names.is_own(settings, each)):
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
            match cause_of(entry.get_dagster_event()).metadata:
                case {"reasons": dict(reasons)} if str(day) in reasons:
                    return str(reasons[str(day)])
    return None


def runs_in_progress(instance: dg.DagsterInstance, settings: Settings) -> "list[RunInProgress]":
    """Return the queued and running runs that read days of the activities."""
    records = instance.get_run_records(dg.RunsFilter(statuses=IN_PROGRESS))
    return [found for record in records if (found := _run_in_progress(record, settings)) is not None]


def has_run_in_progress(instance: dg.DagsterInstance, settings: Settings, job: str) -> bool:
    """Return whether a run of this job is queued or running."""
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=IN_PROGRESS))
    return any(names.is_own(settings, run) for run in runs)


def is_busy(instance: dg.DagsterInstance, settings: Settings, jobs: Collection[str]) -> bool:
    """Return whether a run or backfill that reads days or builds tables has not ended. Runs of `jobs` do."""
    backfills = instance.get_backfills(BulkActionsFilter(statuses=OPEN_BACKFILLS))
    if any(_reads_or_builds(backfill, settings) for backfill in backfills):
        return True
    # Dagster ends every run that is started or queued sooner or later, but not one that was never queued.
    statuses = [status for status in IN_PROGRESS if status != dg.DagsterRunStatus.NOT_STARTED]
    return any(
        _holds_up_tables(run.asset_selection, settings)
        if run.asset_selection  # the command line's run of a whole job has an empty one
        else run.job_name in jobs and names.is_own(settings, run)
        for run in instance.get_runs(dg.RunsFilter(statuses=statuses))
    )


def _reads_or_builds(backfill: PartitionBackfill, settings: Settings) -> bool:
    if backfill.asset_selection is not None:
        return _holds_up_tables(backfill.asset_selection, settings)
    job = backfill.partition_set_origin
    return job is None or settings.organization in (None, job.selector.location_name)


def _holds_up_tables(assets: Iterable[dg.AssetKey], settings: Settings) -> bool:
    holding = {tuple(names.asset_key(settings, schema).path) for schema in ("topo", "engagement")}
    return any(tuple(key.path[:-1]) in holding for key in assets)


def last_builds(
    instance: dg.DagsterInstance, settings: Settings, versions: "Mapping[Name, str | None]"
) -> "dict[Name, LastBuild]":
    """Return the latest events of tables, and of what they read, given their code versions."""
    from topo_pipeline.automation.following import LastBuild

    keys = {names.asset_key(settings, *table): table for table in versions}
    found = {table: LastBuild() for table in keys.values()}
    for record in instance.get_asset_records(list(keys)):
        key, last = record.asset_entry.asset_key, record.asset_entry.last_materialization_record
        table, planned = keys[key], _plans(instance, key)
        if last is None or last.asset_materialization is None:
            found[table] = LastBuild(planned=planned)
            continue
        version = (last.asset_materialization.tags or {}).get(CODE_VERSION_TAG, versions[table])
        found[table] = LastBuild(last.storage_id, last.run_id, planned, version != versions[table])
    return found


def _plans(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, int]:
    """Return the id of the latest plan of each of the last runs that were to build an asset. A run plans each day."""
    from topo_pipeline.automation.following import ATTEMPTS

    plans: dict[str, int] = {}
    cursor, kind = None, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    while len(plans) < ATTEMPTS:  # `fetch_planned_materializations` is deprecated
        only = dg.EventRecordsFilter(kind, key, before_cursor=cursor)
        page = instance.event_log_storage.get_event_records(only, _BATCH)
        for record in page:
            plans.setdefault(record.run_id, record.storage_id)
        if len(page) < _BATCH:
            break
        cursor = page[-1].storage_id
    return plans


def days_to_build(instance: dg.DagsterInstance, settings: Settings) -> list[date]:
    """Return the last stretch of days that landed after they were built; if there are none, the last landed day."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    assets = names.activities(settings), names.asset_key(settings, "engagement", "sequence_activity")
    landed, built = (instance.get_latest_storage_id_by_partition(asset, kind) for asset in assets)
    days = {date.fromisoformat(key): event > built.get(key, 0) for key, event in landed.items()}
    lost = lost_days(instance, settings)
    days = {day: is_new for day, is_new in days.items() if day >= settings.start_date and day not in lost}
    return last_stretch(day for day, is_new in days.items() if is_new) or sorted(days)[-1:]


def _run_in_progress(record: dg.RunRecord, settings: Settings) -> "RunInProgress | None":
    from topo_pipeline.automation.facts import RunInProgress

    run = record.dagster_run
    first, last = (run.tags.get(end, run.tags.get(_PARTITION)) for end in (RANGE_START, RANGE_END))
    if first is None or last is None or not _reads_activities(run, settings):
        return None
    started_on = None
    if record.start_time is not None:
        started_on = date_at(datetime.fromtimestamp(record.start_time, UTC) - CLOSING_TIME, settings)
    return RunInProgress(date.fromisoformat(first), date.fromisoformat(last), started_on)


def _reads_activities(run: dg.DagsterRun, settings: Settings) -> bool:
    if run.asset_selection:
        return names.activities(settings) in run.asset_selection
    return names.is_own(settings, run)


def lost_days(instance: dg.DagsterInstance, settings: Settings) -> set[date]:
    """Return the landed days that the last run did not find in the warehouse and that have not landed since."""
    activities = names.activities(settings)
    for record in instance.fetch_observations(activities, _LIMIT).records:  # latest first
        observation = record.asset_observation
        if observation is not None and LOST_DAYS in observation.metadata:
            noted = observation.metadata[LOST_DAYS].value
            keys = {str(key) for key in noted} if isinstance(noted, list) else set()
            kind = dg.DagsterEventType.ASSET_MATERIALIZATION
            newest = instance.get_latest_storage_id_by_partition(activities, kind, keys) if keys else {}
            return {date.fromisoformat(key) for key in keys if newest.get(key, 0) < record.storage_id}
    return set()


@dataclass(frozen=True)
class Disagreement:
    """Where Dagster's records and the ledger differ."""

    # Days whose latest load in Dagster's records is not in the ledger. The ledger has an older load or none.
    lost: tuple[date, ...] = ()
    # Last loads of the other days, where Dagster's latest record is not of that load.
    unrecorded: "tuple[Load, ...]" = ()


def compare(instance: dg.DagsterInstance, settings: Settings, warehouse: "Warehouse") -> Disagreement:
    """Compare Dagster's records with the ledger. A missing warehouse counts as empty.

    Raises:
        WarehouseError: the warehouse can't be read.
    """
    from topo_pipeline.warehouse.ledger import last_loads, load_ids

    recorded = {date.fromisoformat(key): load_id for key, load_id in recorded_loads(instance, settings)}
    landed: dict[date, Load] = {}
    known = {BY_HAND}
    if warehouse.exists():
        with warehouse.reader() as connection:
            landed, known = last_loads(connection), known | load_ids(connection)
    lost = {day for day, load_id in recorded.items() if day not in landed or load_id not in known}
    others = [load for day, load in landed.items() if day not in lost and recorded.get(day) != str(load.load_id)]
    return Disagreement(tuple(sorted(lost)), tuple(others))


def sync_records(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    settings: Settings,
    warehouse: "Warehouse",
    reading: Collection[date],
) -> None:
    """Record the ledger's loads in Dagster, and note the days that it lacks for the next nightly refresh to read.

    The warehouse's schema is migrated first. This run records the days in `reading` itself.

    Raises:
        WarehouseError: the warehouse can't be used.
    """
    if warehouse.exists():
        warehouse.prepare()
    activities = names.activities(settings)
    found = compare(context.instance, settings, warehouse)
    for load in found.unrecorded:
        if load.day not in reading:
            context.instance.report_runless_asset_event(
                dg.AssetMaterialization(activities, partition=str(load.day), metadata=load_metadata(load))
            )
    if days := [load.day for load in found.unrecorded if load.day not in reading]:
        context.log.error(
            f"Dagster had no record of the last load of these landed days: {format_days(days)}. It has been added."
        )
    if found.lost:
        context.log.error(" ".join(describe_lost_days(found.lost, warehouse.name)))
    if set(found.lost) != lost_days(context.instance, settings):
        context.instance.report_runless_asset_event(
            dg.AssetObservation(
                activities,
                description="Days with a load in Dagster's records, not in the ledger. The nightly refresh reads them.",
                metadata={LOST_DAYS: dg.MetadataValue.json([str(day) for day in found.lost])},
            )
        )


def describe_lost_days(lost: Collection[date], warehouse: str) -> tuple[str, str]:
    """Return two texts: which days are lost, and what to do about it."""
    days = sorted(lost)
    found = f"Dagster has records of loads that are not in {warehouse}: {format_days(days)}."
    do = (
        "If TOPO_WAREHOUSE is wrong, correct it. If the warehouse is lost, restore a backup or read the days again:"
        f" {'; '.join(backfill_commands(days))} (the nightly refresh does so if TOPO_AUTOMATION is on)."
        " Then erase again everyone who had been erased: topo-pipeline forget PERSON_ID."
    )
    return found, pasteable(do)


def load_metadata(load: "Load") -> dict[str, Any]:
    """Return the metadata of a load's materialization. `last_loads` and `recorded_loads` read it back."""
    from topo_pipeline.ingest.loading import UnprovedLoad

    return {
        "dagster/partition_row_count": load.rows,
        "api_total_count": load.api_total_count,
        "asked_after": dg.MetadataValue.timestamp(load.asked_after),
        "asked_before": dg.MetadataValue.timestamp(load.asked_before),
        "is_open": load.is_open,
        "proved": load.proved,
        "added": load.added,
        "changed": load.changed,
        "removed": load.removed,
        "rejects": load.rejects,
        "suppressed": load.suppressed,
        "requests": load.requests,
        "seconds": (load.finished_at - load.started_at).total_seconds(),
        "load_id": str(load.load_id),
        **({"unproved_because": load.because} if isinstance(load, UnprovedLoad) else {}),
    }
