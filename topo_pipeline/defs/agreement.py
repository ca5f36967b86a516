"""Compare Dagster's records with the ledger, and correct the records where they differ.

The ledger is right, because it is written in the same transaction as the rows. If the warehouse is lost, replaced by a
backup or configured with a wrong path, Dagster has records of too many loads. If DAGSTER_HOME is lost, it has too few.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from topo_pipeline.days import format_days
from topo_pipeline.defs.names import ACTIVITIES
from topo_pipeline.defs.partitions import day_of, key_of
from topo_pipeline.defs.recorded import BY_HAND, LOST_DAYS, lost_days, recorded_loads

if TYPE_CHECKING:
    from topo_pipeline.warehouse.connection import Warehouse
    from topo_pipeline.warehouse.landing import Load


@dataclass(frozen=True)
class Disagreement:
    """Where Dagster's records and the ledger differ.

    Attributes:
        lost: days whose latest load in Dagster's records is not in the ledger. The ledger has an older load or none.
        unrecorded: last loads of the other days, where Dagster's latest record is not of that load.
    """

    lost: tuple[date, ...] = ()
    unrecorded: "tuple[Load, ...]" = ()


def compare(instance: dg.DagsterInstance, warehouse: "Warehouse") -> Disagreement:
    """Compare Dagster's records with the ledger. A missing warehouse counts as empty.

    Raises:
        WarehouseError: the warehouse can't be read.
    """
    from topo_pipeline.warehouse.ledger import last_loads, load_ids

    recorded = {day_of(key).day: load_id for key, load_id in recorded_loads(instance)}
    landed: dict[date, Load] = {}
    known = {BY_HAND}
    if warehouse.path.exists():
        with warehouse.reader() as connection:
            landed, known = last_loads(connection), known | load_ids(connection)
    lost = {day for day, load_id in recorded.items() if day not in landed or load_id not in known}
    others = [load for day, load in landed.items() if day not in lost and recorded.get(day) != str(load.load_id)]
    return Disagreement(tuple(sorted(lost)), tuple(others))


def sync_records(
    context: dg.AssetExecutionContext | dg.OpExecutionContext, warehouse: "Warehouse", reading: Collection[date]
) -> None:
    """Record the ledger's loads in Dagster, and note the days that it lacks for the next nightly refresh to read.

    Args:
        context: Context of the run.
        warehouse: The warehouse with the ledger. Its schema is migrated first.
        reading: Days that this run reads. It records them itself.

    Raises:
        WarehouseError: the warehouse can't be used.
    """
    if warehouse.path.exists():
        warehouse.prepare()
    found = compare(context.instance, warehouse)
    for load in found.unrecorded:
        if load.day not in reading:
            context.instance.report_runless_asset_event(
                dg.AssetMaterialization(ACTIVITIES, partition=key_of(load.day), metadata=load_metadata(load))
            )
    if days := [load.day for load in found.unrecorded if load.day not in reading]:
        context.log.error(
            f"Dagster had no record of the last load of these landed days: {format_days(days)}. It has been added."
        )
    if found.lost:
        context.log.error(" ".join(describe_lost_days(found.lost, str(warehouse.path))))
    if set(found.lost) != lost_days(context.instance):
        context.instance.report_runless_asset_event(
            dg.AssetObservation(
                ACTIVITIES,
                description="Days with a load in Dagster's records, not in the ledger. The nightly refresh reads them.",
                metadata={LOST_DAYS: dg.MetadataValue.json([key_of(day) for day in found.lost])},
            )
        )


def describe_lost_days(lost: Collection[date], warehouse: str) -> tuple[str, str]:
    """Return two texts: which days are lost, and what to do about it."""
    days = sorted(lost)
    found = f"Dagster has records of loads that are not in {warehouse}: {format_days(days)}."
    do = (
        "If TOPO_WAREHOUSE is wrong, correct it. If the warehouse is lost, restore a backup or read the days again:"
        f" topo-pipeline backfill {days[0]} {days[-1]} (the nightly refresh does so if TOPO_AUTOMATION is on)."
        " Then erase again everyone who had been erased: topo-pipeline forget."
    )
    return found, do


def load_metadata(load: "Load") -> dict[str, Any]:
    """Return the metadata of a load's materialization. `records` and `recorded` read it back."""
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
