"""Whether Dagster's records and the ledger tell of the same loads, and what a run does where they don't.

The ledger is right: it is written with the rows, in one transaction. A warehouse that is lost, replaced by a backup or
looked for under a wrong path makes Dagster's records tell too much; a lost DAGSTER_HOME makes them tell too little.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from topo_pipeline.days import in_words
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
        lost: days whose load in Dagster's latest record is not in the ledger: it lacks the day, or is an older one.
        unrecorded: last loads of all other days that Dagster's latest record does not tell of.
    """

    lost: tuple[date, ...] = ()
    unrecorded: "tuple[Load, ...]" = ()


def compare(instance: dg.DagsterInstance, warehouse: "Warehouse") -> Disagreement:
    """Compare Dagster's records with the ledger; a warehouse that is not there has no day.

    Raises:
        WarehouseError: it can't be read.
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


def agree(
    context: dg.AssetExecutionContext | dg.OpExecutionContext, warehouse: "Warehouse", reading: Collection[date]
) -> None:
    """Make Dagster's records tell of what the ledger has, and note what it lacks for the next night to read.

    Args:
        context: The run's.
        warehouse: Whose ledger; its schema is brought up to date first.
        reading: Days that the run reads, of which it tells itself.

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
            f"Dagster's records did not tell of the last load of these landed days: {in_words(days)}. They do now."
        )
    if found.lost:
        context.log.error(" ".join(told(found.lost, str(warehouse.path))))
    if set(found.lost) != lost_days(context.instance):
        context.instance.report_runless_asset_event(
            dg.AssetObservation(
                ACTIVITIES,
                description="Days in Dagster's records that the warehouse does not hold: the nights read them.",
                metadata={LOST_DAYS: dg.MetadataValue.json([key_of(day) for day in found.lost])},
            )
        )


def told(lost: Collection[date], warehouse: str) -> tuple[str, str]:
    """Say which days are lost, and what to do about it, a text each."""
    days = sorted(lost)
    found = f"Days in Dagster's records are not in {warehouse}, or only as an older load: {in_words(days)}."
    do = (
        "If TOPO_WAREHOUSE is wrong, correct it. If the warehouse is lost, restore a backup or read the days again:"
        f" topo-pipeline backfill {days[0]} {days[-1]}; each night does so where TOPO_AUTOMATION is on."
        " Then forget again whoever was forgotten."
    )
    return found, do


def load_metadata(load: "Load") -> dict[str, Any]:
    """What Dagster records of a load; `records` and `recorded` read it."""
    from topo_pipeline.ingest import UnprovedLoad

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
