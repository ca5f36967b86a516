"""Remove the bytes of deleted rows from the warehouse. How depends on its place (`warehouse.places`).

Afterwards no file of the warehouse holds deleted rows. Other copies may (backups, hard links, snapshots of the file
system or bucket), and so may disk blocks that the file system has freed.
"""

import duckdb

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import NotCompacted, WarehouseError
from topo_pipeline.warehouse.sql import reason_of


def require_compactable(warehouse: Warehouse) -> None:
    """Check, before anything is deleted, that the warehouse can be compacted.

    Raises:
        WarehouseError: a lake's Parquet files may belong to another lake too.
    """
    with warehouse.reader() as connection:
        warehouse.place.require_compactable(connection)


def compact(warehouse: Warehouse) -> None:
    """Remove the bytes of deleted rows, while others wait.

    Compacting again is safe, and finishes a compaction that a crash or a full disk interrupted.

    Raises:
        NotCompacted: some of the bytes may remain.
    """
    try:
        warehouse.compact()
    except (WarehouseError, duckdb.Error, OSError) as error:
        raise NotCompacted(
            f"The rows are deleted, but their bytes may still be stored in {warehouse.name} or next to it:"
            f" run the same command again ({reason_of(error)})"
        ) from error
