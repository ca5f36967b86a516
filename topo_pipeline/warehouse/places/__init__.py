"""The places where a warehouse can be: a DuckDB file, a local lake, a shared lake. Only they know paths and addresses.

A place attaches the warehouse to a connection, keeps other writers out, and removes deleted rows from the storage.
Transactions, migrations and everything else are the same in every place (`warehouse.connection`).
"""

from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.places.catalog_database import POSTGRES_PREFIX
from topo_pipeline.warehouse.places.local import File, LocalLake
from topo_pipeline.warehouse.places.place import LAKE_PREFIX, LakeStorage, Place, WriteLock
from topo_pipeline.warehouse.places.shared import SharedLake

__all__ = ["File", "LakeStorage", "LocalLake", "Place", "SharedLake", "WriteLock", "place_at"]


def place_at(target: str, storage: LakeStorage | None = None) -> Place:
    """Return the place that a value of `TOPO_WAREHOUSE` names. A shared lake needs its storage.

    Raises:
        WarehouseError: a path starts with `~`, and that user has no home directory; or the storage is missing.
    """
    if target.startswith(POSTGRES_PREFIX):
        if storage is None:
            raise WarehouseError("A lake in Postgres needs TOPO_LAKE_DATA_PATH: a folder or s3://BUCKET/FOLDER.")
        return SharedLake(target.removeprefix(POSTGRES_PREFIX), storage)
    if target.startswith(LAKE_PREFIX):
        return LocalLake.at(target.removeprefix(LAKE_PREFIX))
    return File.at(target)
