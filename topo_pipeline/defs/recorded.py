"""Read the loads in Dagster's records, for comparison with the warehouse."""

from collections.abc import Collection, Iterator
from datetime import date, datetime
from itertools import islice

import dagster as dg

from topo_pipeline.defs.names import ACTIVITIES
from topo_pipeline.defs.partitions import daily, day_of
from topo_pipeline.engagement.checks import Recorded

# Records per query.
BATCH = 500
# Metadata of an observation of the activities that `agreement` reports.
LOST_DAYS = "lost_days"
BY_HAND = "reported by hand"
_LIMIT = 50  # observations to search for `LOST_DAYS`


def recorded_days(instance: dg.DagsterInstance, now: datetime, refused: Collection[date] = ()) -> list[Recorded]:
    """Return every day that landed, failed or was refused, from Dagster's records.

    Args:
        instance: The Dagster instance.
        now: The current time. Partitions up to then are read.
        refused: Days that the current run has refused. Dagster records them only when the run ends.
    """
    loads = dict(recorded_loads(instance))
    statuses = instance.get_status_by_partition(ACTIVITIES, daily.get_partition_keys(current_time=now), daily) or {}
    failed = {key for key, status in statuses.items() if status == dg.AssetPartitionStatus.FAILED}
    days = {key: day_of(key).day for key in loads.keys() | failed | {str(day) for day in refused}}
    return [Recorded(day, loads.get(key), key in failed or day in refused) for key, day in sorted(days.items())]


def recorded_loads(instance: dg.DagsterInstance) -> Iterator[tuple[str, str]]:
    """Yield each partition key with the load id of its latest materialization, or `BY_HAND` if that has none."""
    newest = instance.get_latest_storage_id_by_partition(ACTIVITIES, dg.DagsterEventType.ASSET_MATERIALIZATION)
    ids = iter(sorted(newest.values()))
    while batch := list(islice(ids, BATCH)):
        for record in instance.fetch_materializations(
            dg.AssetRecordsFilter(ACTIVITIES, storage_ids=batch), BATCH
        ).records:
            metadata = record.asset_materialization.metadata if record.asset_materialization else {}
            if record.partition_key is not None:
                yield record.partition_key, str(metadata["load_id"].value) if "load_id" in metadata else BY_HAND


def lost_days(instance: dg.DagsterInstance) -> set[date]:
    """Return the landed days that the last run did not find in the warehouse and that have not landed since."""
    for record in instance.fetch_observations(ACTIVITIES, _LIMIT).records:  # latest first
        observation = record.asset_observation
        if observation is not None and LOST_DAYS in observation.metadata:
            noted = observation.metadata[LOST_DAYS].value
            keys = {str(key) for key in noted} if isinstance(noted, list) else set()
            kind = dg.DagsterEventType.ASSET_MATERIALIZATION
            newest = instance.get_latest_storage_id_by_partition(ACTIVITIES, kind, keys) if keys else {}
            return {day_of(key).day for key in keys if newest.get(key, 0) < record.storage_id}
    return set()
