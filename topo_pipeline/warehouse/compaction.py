"""Rewrite the warehouse without what was deleted: DuckDB marks a row as deleted and leaves its bytes in the file.

A copy of the live rows is written aside and takes the warehouse's name in one rename, while others wait for its lock.

Promised: no file of the warehouse holds what was deleted. Not promised: what other names and copies hold (backups, hard
links, snapshots of the file system), and what the disk holds in blocks that the file system has set free.

A DuckLake loses its older snapshots, which hold what was deleted, and the Parquet files that only they name.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse.connection import FILE_OPTIONS, LAKE_PREFIX, Warehouse, literal
from topo_pipeline.warehouse.errors import NotCompacted, WarehouseError
from topo_pipeline.warehouse.files import folder_aside, logs_of, put_in_place, sync

# DuckLake attaches its catalog, a DuckDB file, under this prefix and the lake's name.
_CATALOG = "__ducklake_metadata_"
# What a lake can be told that a copy of its tables would not keep.
_SETTINGS = f"""
SELECT (SELECT value FROM {_CATALOG}warehouse.ducklake_metadata WHERE key = 'data_path'),
    (SELECT count(*) FROM {_CATALOG}warehouse.ducklake_metadata
     WHERE key NOT IN ('version', 'created_by', 'data_path') AND NOT (key = 'encrypted' AND value = 'false'))
    + (SELECT count(*) FROM {_CATALOG}warehouse.ducklake_partition_info)
    + (SELECT count(*) FROM {_CATALOG}warehouse.ducklake_sort_info)
"""  # noqa: S608 - names of our own
_COMMENTS = """
SELECT 'TABLE', [schema_name, table_name], comment FROM duckdb_tables()
WHERE database_name = 'warehouse' AND comment IS NOT NULL
UNION ALL
SELECT 'COLUMN', [schema_name, table_name, column_name], comment FROM duckdb_columns()
WHERE database_name = 'warehouse' AND comment IS NOT NULL
"""


def require_compactable(warehouse: Warehouse) -> None:
    """Make sure, before anything is deleted, that the bytes could then be removed too.

    Raises:
        WarehouseError: a lake has its Parquet files elsewhere than beside its catalog, or settings of its own.
    """
    if not warehouse.is_lake:
        return
    with warehouse.reader() as connection:
        data_path, settings = connection.execute(_SETTINGS).fetchall()[0]
    # A catalog that was copied or moved still names the files of the first one: they are not ours to delete.
    if Path(data_path) != _data_folder(warehouse):
        raise WarehouseError(
            f"The lake {warehouse.path} has its data in {data_path}, perhaps not alone; only a lake whose data lie in"
            f" {_data_folder(warehouse)} can be compacted."
        )
    if settings:
        raise WarehouseError(
            f"The lake {warehouse.path} is partitioned, sorted or has options that compacting it would lose."
        )


def compact(warehouse: Warehouse) -> None:
    """Rewrite the warehouse from its live rows and put that in its place; others wait meanwhile.

    To do it once more does no harm and finishes what a crash or a full disk had interrupted.

    Raises:
        NotCompacted: the warehouse is as it was, or some of its old files are still there.
    """
    with _told_what_remains(warehouse):
        require_compactable(warehouse)
        try:
            with warehouse.exclusive() as connection:
                _rewrite(warehouse, connection)
        finally:
            if warehouse.is_lake:
                _delete_files_without_a_name(warehouse)


@contextmanager
def _told_what_remains(warehouse: Warehouse) -> Iterator[None]:
    try:
        yield
    except (WarehouseError, duckdb.Error, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise NotCompacted(
            f"The rows are deleted, but their bytes may still be on disk, in {warehouse.path} or beside it:"
            f" run the same command again ({reason})"
        ) from error


def _rewrite(warehouse: Warehouse, connection: DuckDBPyConnection) -> None:
    file = Path(os.path.realpath(warehouse.path))  # the file that a link leads to, never the link
    connection.execute(f"CHECKPOINT {_CATALOG if warehouse.is_lake else ''}warehouse")
    _refuse_logs(warehouse.path, file)
    with folder_aside(file, "compacting") as aside:
        copy = aside / file.name
        _copy(warehouse, connection, copy)
        put_in_place(copy, file, wait_seconds=warehouse.wait_seconds)


def _refuse_logs(*names: Path) -> None:
    """Make sure that no log of the old file is left: it holds rows, and DuckDB would replay it into the new one."""
    for log in logs_of(*names):
        raise WarehouseError(
            f"{log} is a log that DuckDB did not take in: open the warehouse by that name, or move the log away"
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
    """Comment the copy of a lake; for a file, COPY FROM DATABASE has done it."""
    comments = connection.execute(_COMMENTS).fetchall()
    connection.begin()
    for kind, names, comment in comments:
        name = ".".join('"' + name.replace('"', '""') + '"' for name in ("compacted", *names))
        connection.execute(f"COMMENT ON {kind} {name} IS {literal(comment)}")
    connection.commit()


def _delete_files_without_a_name(warehouse: Warehouse) -> None:
    """Delete the Parquet files that the catalog in place does not name: the old ones, or a failed copy's."""
    with warehouse.exclusive() as connection:
        connection.execute("CALL ducklake_delete_orphaned_files('warehouse', cleanup_all => true)")


def _data_folder(warehouse: Warehouse) -> Path:
    return Path(f"{warehouse.path}.files")
