"""Check that Dagster's records and the warehouse hold the same days."""

from typing import TYPE_CHECKING

from topo_pipeline.days import format_days
from topo_pipeline.doctor.finding import Finding, ok, problem, unknown
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    import dagster as dg


def compare_records(instance: "dg.DagsterInstance", warehouse: Warehouse) -> Finding:
    """Compare Dagster's records with the ledger."""
    from topo_pipeline.defs.records import compare, describe_lost_days

    try:
        found = compare(instance, warehouse)
    except WarehouseError:
        return unknown("records", "the warehouse can't be read")
    if found.lost:
        return problem("records", *describe_lost_days(found.lost, str(warehouse.path)))
    if found.unrecorded:
        days = [load.day for load in found.unrecorded]
        return problem(
            "records",
            f"Dagster's records lack the last load of these landed days: {format_days(days)}.",
            "If DAGSTER_HOME is wrong, correct it. If it is lost, read any day: this records them all, and the nightly"
            f" run finds missing days again. Run: topo-pipeline backfill {max(days)} {max(days)}",
        )
    return ok("records", "Dagster's records and the warehouse hold the same days.")
