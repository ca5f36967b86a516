"""DuckLake's own functions and catalog, which are the same wherever the catalog is."""

import re

from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse.catalogue import tables_of
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.places.place import WriteLock
from topo_pipeline.warehouse.sql import literal

CATALOG = "__ducklake_metadata_warehouse"
"""The database as which DuckLake attaches the catalog of the lake `warehouse`."""
_MAIN = f"{CATALOG}.main"

# Rows that are inlined in the catalog move to files, and a file with deleted rows is written again without them.
_REWRITE = (
    "CALL ducklake_flush_inlined_data('warehouse')",
    "CALL ducklake_rewrite_data_files('warehouse', delete_threshold => {threshold})",
    "CALL ducklake_merge_adjacent_files('warehouse')",
)
# Snapshots, files that no snapshot needs any more, and files that a failed transaction has left. Readers that have
# begun before may still need a file, and a writer that has lost its lock may still be writing one.
_REMOVE_OLD = (
    "CALL ducklake_expire_snapshots('warehouse', older_than => now() - INTERVAL 7 DAYS)",
    "CALL ducklake_cleanup_old_files('warehouse', older_than => now() - INTERVAL 1 DAY)",
    "CALL ducklake_delete_orphaned_files('warehouse', older_than => now() - INTERVAL 1 DAY)",
)
_REMOVE_ALL = (
    "CALL ducklake_expire_snapshots('warehouse', older_than => now())",
    "CALL ducklake_cleanup_old_files('warehouse', cleanup_all => true)",
    "CALL ducklake_delete_orphaned_files('warehouse', cleanup_all => true)",
)
# A file is written again each night if a tenth of its rows are deleted.
_NIGHTLY_THRESHOLD = 0.1
# The smallest and the largest value of a column stay known after their row is deleted. They must not become NULL while
# there are rows: DuckLake would take the next insert's values as those of the whole table.
_EXTREMES = """
SELECT min(live.min_value) AS low, max(live.max_value) AS high, known.table_id, known.column_id
FROM {0}.ducklake_table_column_stats AS known
JOIN {0}.ducklake_column AS columns USING (table_id, column_id)
LEFT JOIN {0}.ducklake_file_column_stats AS live USING (table_id, column_id)
WHERE columns.end_snapshot IS NULL AND columns.column_type IN ('varchar', 'uuid')
GROUP BY known.table_id, known.column_id
HAVING (low, high) IS DISTINCT FROM (any_value(known.min_value), any_value(known.max_value))
    AND NOT coalesce(bool_or(live.min_value IS NULL AND live.value_count > coalesce(live.null_count, 0)), false)
"""


def data_path(connection: DuckDBPyConnection, catalog: str = _MAIN) -> str:
    """Return where the lake's Parquet files are."""
    statement = f"SELECT value FROM {catalog}.ducklake_metadata WHERE key = 'data_path' AND scope IS NULL"  # noqa: S608
    [(path,)] = connection.execute(statement).fetchall()
    return str(path)


def named_files(connection: DuckDBPyConnection, catalog: str = _MAIN) -> dict[str, int]:
    """Return the Parquet files that the newest snapshot names: their paths below the data path, and sizes in bytes.

    Raises:
        WarehouseError: a file is elsewhere.
    """
    folder, named = data_path(connection, catalog), dict[str, int]()
    for schema, table in sorted(tables_of(connection)):
        files = f"ducklake_list_files('warehouse', {literal(table)}, schema => {literal(schema)})"
        for rows, size, deleted, deleted_size in connection.execute(
            "SELECT data_file, data_file_size_bytes, delete_file, delete_file_size_bytes FROM "  # noqa: S608
            + files
        ).fetchall():
            named |= {path: size for path, size in ((rows, size), (deleted, deleted_size)) if path is not None}
    if elsewhere := [path for path in named if not path.startswith(folder)]:
        raise WarehouseError(f"The lake's file {elsewhere[0]} is not below its data path {folder}.")
    return {path.removeprefix(folder): size for path, size in named.items()}


def copy_file(connection: DuckDBPyConnection, source: str, target: str) -> None:
    """Copy a file from or to a folder or S3, as bytes. It has to fit into memory."""
    pattern = re.sub(r"([*?\[])", r"[\1]", source)
    blob = f"SELECT content FROM read_blob({literal(pattern)})"  # noqa: S608
    connection.execute(f"COPY ({blob}) TO {literal(target)} (FORMAT blob)")


def maintain(connection: DuckDBPyConnection, lock: WriteLock) -> None:
    """Merge small files, write files with deleted rows again, and remove what has not been needed for some days."""
    _run(connection, lock, (*(sql.format(threshold=_NIGHTLY_THRESHOLD) for sql in _REWRITE), *_REMOVE_OLD))


def compact(connection: DuckDBPyConnection, lock: WriteLock, catalog: str = _MAIN) -> None:
    """Remove deleted rows, and all snapshots but the last, from the lake's files and from the rows of its catalog."""
    _run(connection, lock, (*(sql.format(threshold=0) for sql in _REWRITE), *_REMOVE_ALL))
    lock.require()
    for *values, table, column in connection.execute(_EXTREMES.format(catalog)).fetchall():
        connection.execute(
            f"UPDATE {catalog}.ducklake_table_column_stats SET min_value = ?, max_value = ?"  # noqa: S608
            " WHERE table_id = ? AND column_id = ?",
            [*values, table, column],
        )


def _run(connection: DuckDBPyConnection, lock: WriteLock, statements: tuple[str, ...]) -> None:
    for statement in statements:
        lock.require()  # a file that another writer is writing would look like one that nobody needs
        connection.execute(statement).fetchall()
