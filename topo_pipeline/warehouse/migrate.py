"""Migrate a warehouse's schema with numbered .sql files, each applied once, in order."""

import importlib.resources
from contextlib import suppress
from functools import cache

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse.errors import OlderWarehouse, WarehouseError

_LEDGER = """
CREATE SCHEMA IF NOT EXISTS topo;
CREATE TABLE IF NOT EXISTS topo.migrations (version INTEGER NOT NULL, name VARCHAR NOT NULL);
COMMENT ON TABLE topo.migrations IS 'The schema migrations applied to this warehouse, each once.';
COMMENT ON COLUMN topo.migrations.version IS 'The number of the migration; the highest is the schema version.';
COMMENT ON COLUMN topo.migrations.name IS 'The file of the migration.';
"""


@cache
def migrations() -> dict[int, tuple[str, str]]:
    """Return the file name and SQL of each version, in order. A file is called `0001_what_it_does.sql`."""
    folder = importlib.resources.files("topo_pipeline.warehouse") / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return {int(f.name.partition("_")[0]): (f.name, f.read_text(encoding="utf-8")) for f in files}


def migrate(connection: DuckDBPyConnection) -> bool:
    """Apply the missing migrations in the caller's transaction, and return whether there were any.

    Raises:
        WarehouseError: a newer version of topo-pipeline wrote the warehouse.
    """
    applied = schema_version(connection)
    if applied == max(migrations()):
        return False
    connection.execute(_LEDGER)
    for version, (name, sql) in migrations().items():
        if version > applied:
            connection.execute(sql)
            connection.execute("INSERT INTO topo.migrations VALUES (?, ?)", [version, name])
    return True


def check(connection: DuckDBPyConnection) -> None:
    """Require the current schema, for a reader that can't migrate it.

    Raises:
        OlderWarehouse: the schema is older.
        WarehouseError: the schema is newer.
    """
    if schema_version(connection) != max(migrations()):
        raise OlderWarehouse("The warehouse was written by an older topo-pipeline: load a day to update its schema.")


def schema_version(connection: DuckDBPyConnection) -> int:
    """Return the schema version, 0 for an empty warehouse. Raise WarehouseError if it is newer than this version."""
    row = None
    with suppress(duckdb.CatalogException):  # listing all tables would take long if the catalog is in Postgres
        row = connection.execute("SELECT max(version) FROM topo.migrations").fetchone()
    applied, known = int(row[0]) if row else 0, max(migrations())
    if applied > known:
        raise WarehouseError(
            f"The warehouse is at schema version {applied}, but this version supports {known}: upgrade topo-pipeline."
        )
    return applied
