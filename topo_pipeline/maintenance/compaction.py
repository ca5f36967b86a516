"""Rewrite the warehouse without deleted rows: DuckDB marks a row as deleted and leaves its bytes in the file.

A copy of the live rows is written to a temporary folder and renamed over the warehouse, while others wait for its lock.

Afterwards no file of the warehouse holds deleted rows. Other copies may (backups, hard links, snapshots of the file
system), and so may disk blocks that the file system has freed.

A DuckLake loses its older snapshots, which hold the deleted rows, and the Parquet files that only they refer to.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.common.text import first_line
from topo_pipeline.warehouse.connection import FILE_OPTIONS, LAKE_PREFIX, Warehouse
from topo_pipeline.warehouse.errors import NotCompacted, WarehouseError
from topo_pipeline.warehouse.files import logs_of, put_in_place, sync, temporary_folder
from topo_pipeline.warehouse.sql import identifier, literal

# DuckLake attaches its catalog, a DuckDB file, under this prefix and the lake's name.
_CATALOG = "__ducklake_metadata_"
# The data path, and the number of settings of the lake that a copy of its tables would lose.
_SETTINGS = f"""
SELECT (SELECT value FROM {_CATALOG}warehouse.ducklake_metadata WHERE key = 'data_path'),
    (SELECT count(*) FROM {_CATALOG}warehouse.ducklake_metadata
     WHERE key NOT IN ('version', 'created_by', 'data_path') AND NOT (key = 'encrypted' AND value = 'false'))
    + (SELECT count(*) FROM {_CATALOG}warehouse.ducklake_partition_info)
    + (SELECT count(*) FROM {_CATALOG}warehouse.ducklake_sort_info)
"""  # noqa: S608 - only constants of this module
_COMMENTS = """
SELECT 'TABLE', [schema_name, table_name], comment FROM duckdb_tables()
WHERE database_name = 'warehouse' AND comment IS NOT NULL
UNION ALL
SELECT 'COLUMN', [schema_name, table_name, column_name], comment FROM duckdb_columns()
WHERE database_name = 'warehouse' AND comment IS NOT NULL
"""


def require_compactable(warehouse: Warehouse) -> None:
    """Check, before anything is deleted, that the warehouse can be compacted.

    Raises:
        WarehouseError: a lake has its Parquet files elsewhere than next to its catalog, or has settings of its own.
    """
    if not warehouse.is_lake:
        return
    with warehouse.reader() as connection:
        data_path, settings = connection.execute(_SETTINGS).fetchall()[0]
    # A copied or moved catalog still refers to the original's files, which must not be deleted.
    if Path(data_path) != _data_folder(warehouse):
        raise WarehouseError(
            f"The lake {warehouse.path} can't be compacted: its data is in {data_path}, which another lake may"
            f" share. Only a lake with its data in {_data_folder(warehouse)} can be compacted."
        )
    if settings:
        raise WarehouseError(
            f"The lake {warehouse.path} can't be compacted: it is partitioned, sorted or has options that would be lost"
        )


def compact(warehouse: Warehouse) -> None:
    """Replace the warehouse by a copy of its live rows, while others wait.

    Compacting again is safe, and finishes a compaction that a crash or a full disk interrupted.

    Raises:
        NotCompacted: the warehouse is unchanged, or some of its old files are still there.
    """
    with _raises_not_compacted(warehouse):
        require_compactable(warehouse)
        try:
            with warehouse.exclusive() as connection:
                _rewrite(warehouse, connection)
        finally:
            if warehouse.is_lake:
                _delete_unreferenced_files(warehouse)


@contextmanager
def _raises_not_compacted(warehouse: Warehouse) -> Iterator[None]:
    try:
        yield
    except (WarehouseError, duckdb.Error, OSError) as error:
        raise NotCompacted(
            f"The rows are deleted, but their bytes may still be on disk, in {warehouse.path} or next to it:"
            f" run the same command again ({first_line(error)})"
        ) from error


def _rewrite(warehouse: Warehouse, connection: DuckDBPyConnection) -> None:
    file = Path(os.path.realpath(warehouse.path))  # replaces the file that a link leads to, not the link
    connection.execute(f"CHECKPOINT {_CATALOG if warehouse.is_lake else ''}warehouse")
    _refuse_logs(warehouse.path, file)
    with temporary_folder(file, "compacting") as aside:
        copy = aside / file.name
        _copy(warehouse, connection, copy)
        put_in_place(copy, file, wait_seconds=warehouse.wait_seconds)


def _refuse_logs(*names: Path) -> None:
    """Require that no log of the old file is left: it holds rows, and DuckDB would replay it into the new file."""
    for log in logs_of(*names):
        raise WarehouseError(
            f"DuckDB has not applied the log {log}: open the warehouse under that name, or move the log away"
        )


def _copy(warehouse: Warehouse, connection: DuckDBPyConnection, copy: Path) -> None:
    if warehouse.is_lake:
        folder = f"{_data_folder(warehouse)}/"
        connection.execute(f"ATTACH {literal(f'{LAKE_PREFIX}{copy}')} AS compacted (DATA_PATH {literal(folder)})")
    else:
        connection.execute(f"ATTACH {literal(str(copy))} AS compacted ({FILE_OPTIONS})")
    connection.execute("COPY FROM DATABASE warehouse TO compacted")
    if warehouse.is_lake:
        _copy_comments(connection)
    connection.execute(f"CHECKPOINT {_CATALOG if warehouse.is_lake else ''}compacted")
    connection.execute("DETACH compacted")
    if warehouse.is_lake:
        for path in (_data_folder(warehouse), *_data_folder(warehouse).rglob("*")):
            sync(path)


def _copy_comments(connection: DuckDBPyConnection) -> None:
    """Copy the comments of a lake. For a file, COPY FROM DATABASE has copied them."""
    comments = connection.execute(_COMMENTS).fetchall()
    connection.begin()
    for kind, names, comment in comments:
        name = ".".join(map(identifier, ("compacted", *names)))
        connection.execute(f"COMMENT ON {kind} {name} IS {literal(comment)}")
    connection.commit()


def _delete_unreferenced_files(warehouse: Warehouse) -> None:
    """Delete the Parquet files that the current catalog does not refer to: old ones, or those of a failed copy."""
    with warehouse.exclusive() as connection:
        connection.execute("CALL ducklake_delete_orphaned_files('warehouse', cleanup_all => true)")


def _data_folder(warehouse: Warehouse) -> Path:
    return Path(f"{warehouse.path}.files")
