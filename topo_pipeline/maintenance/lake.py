"""The regular maintenance of a lake."""

from topo_pipeline.warehouse.connection import Warehouse


def maintain_lake(warehouse: Warehouse) -> None:
    """Merge small files, rewrite those with deleted rows, and remove snapshots and files that are no longer needed.

    Snapshots are kept for 7 days, files that no snapshot needs for a day. Readers that are open are not disturbed. A
    DuckDB file needs no maintenance and is left as it is.

    Raises:
        WarehouseError: the warehouse can't be used, or another process has held its lock for too long.
    """
    if warehouse.exists():
        warehouse.maintain()
