"""Check that Dagster's records and the warehouse hold the same days."""

from typing import TYPE_CHECKING

from topo_pipeline.days import in_words
from topo_pipeline.doctor.finding import Finding, ok, problem, unknown
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    import dagster as dg


def compare_records(instance: "dg.DagsterInstance", warehouse: Warehouse) -> Finding:
    """Compare Dagster's records with the ledger."""
    from topo_pipeline.defs.agreement import compare, told

    try:
        found = compare(instance, warehouse)
    except WarehouseError:
        return unknown("records", "the warehouse can't be read")
    if found.lost:
        return problem("records", *told(found.lost, str(warehouse.path)))
    if found.unrecorded:
        days = [load.day for load in found.unrecorded]
        return problem(
            "records",
            f"Dagster's records lack the last load of these landed days: {in_words(days)}.",
            "If DAGSTER_HOME is wrong, correct it. If it is lost, read any day: this records them all, and the nightly"
            f" run finds missing days again. Run: topo-pipeline backfill {max(days)} {max(days)}",
        )
    return ok("records", "Dagster's records and the warehouse hold the same days.")
