"""Bring a warehouse's schema up to date: numbered .sql files, each applied once, in order."""

import importlib.resources
from functools import cache

from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse.catalogue import tables_of
from topo_pipeline.warehouse.errors import OlderWarehouse, WarehouseError

_LEDGER = """
CREATE SCHEMA IF NOT EXISTS topo;
CREATE TABLE IF NOT EXISTS topo.migrations (version INTEGER NOT NULL, name VARCHAR NOT NULL);
COMMENT ON TABLE topo.migrations IS 'What brought this schema to where it is, each applied once.';
COMMENT ON COLUMN topo.migrations.version IS 'The number of the migration; the highest is the schema''s version.';
COMMENT ON COLUMN topo.migrations.name IS 'Its file.';
"""


@cache
def migrations() -> dict[int, tuple[str, str]]:
    """Version → (file name, SQL), in order; a file is called `0001_what_it_does.sql`."""
    folder = importlib.resources.files("topo_pipeline.warehouse") / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return {int(f.name.partition("_")[0]): (f.name, f.read_text(encoding="utf-8")) for f in files}


def migrate(connection: DuckDBPyConnection) -> None:
    """Apply what this warehouse lacks, within the caller's transaction.

    Raises:
        WarehouseError: the warehouse was written by a newer version of the pipeline.
    """
    applied = schema_version(connection)
    if applied == max(migrations()):
        return
    connection.execute(_LEDGER)
    for version, (name, sql) in migrations().items():
        if version > applied:
            connection.execute(sql)
            connection.execute("INSERT INTO topo.migrations VALUES (?, ?)", [version, name])


def check(connection: DuckDBPyConnection) -> None:
    """Make sure that a warehouse that is only read has the schema that its readers know.

    Raises:
        OlderWarehouse: it is older.
        WarehouseError: it is newer.
    """
    if schema_version(connection) != max(migrations()):
        raise OlderWarehouse("The warehouse was written by an older topo-pipeline: load a day to bring it up to date.")


def schema_version(connection: DuckDBPyConnection) -> int:
    """Return the newest migration applied, 0 for an empty warehouse; a newer one than we know is an error."""
    row = None
    if ("topo", "migrations") in tables_of(connection):
        row = connection.execute("SELECT max(version) FROM topo.migrations").fetchone()
    applied, known = int(row[0]) if row else 0, max(migrations())
    if applied > known:
        raise WarehouseError(
            f"The warehouse is at schema version {applied} and this topo-pipeline knows {known}: upgrade it."
        )
    return applied
