"""Read the tables, columns and comments of a warehouse from its catalog."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from topo_pipeline.warehouse.sql import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Column:
    """A column of a table, with its comment."""

    name: str
    type: str
    comment: str | None


# The columns of tables, in order, by (schema, table).
Catalog = dict[tuple[str, str], tuple[Column, ...]]


def tables_of(connection: "DuckDBPyConnection") -> set[tuple[str, str]]:
    """Return every table as (schema, name)."""
    # In a lake, duckdb_tables() takes long, because it asks the catalog for the size of each table.
    tables = "SELECT DISTINCT schema_name, table_name FROM duckdb_columns() WHERE database_name = current_database()"
    return {(schema, name) for schema, name in connection.execute(tables).fetchall()}


def columns_by_table(connection: "DuckDBPyConnection", names: Collection[str] | None = None) -> Catalog:
    """Return the columns of every table, or of the tables with these names in any schema."""
    named = "" if names is None else f" AND list_contains([{', '.join(map(literal, names))}], table_name)"
    found: dict[tuple[str, str], list[Column]] = {}
    for schema, table, *column in connection.execute(
        "SELECT schema_name, table_name, column_name, data_type, comment FROM duckdb_columns()"  # noqa: S608 - quoted
        f" WHERE database_name = current_database(){named} ORDER BY column_index"
    ).fetchall():
        found.setdefault((schema, table), []).append(Column(*column))
    return {name: tuple(columns) for name, columns in found.items()}


def columns_of(connection: "DuckDBPyConnection", schema: str, table: str) -> tuple[Column, ...]:
    """Return the columns of a table, in order, or nothing if it does not exist."""
    return columns_by_table(connection, [table]).get((schema, table), ())
