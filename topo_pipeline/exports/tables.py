"""A table as a file, CSV or Parquet: which tables there are for others to read, and how their rows are written."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse.catalogue import Column, columns_of
from topo_pipeline.warehouse.connection import Warehouse, first_line, identifier, literal
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.files import logs_of, replacing

Format = Literal["csv", "parquet"]
# Bookkeeping, and in the workspace the key of the hashes of forgotten people.
_OURS_ALONE = [
    "engagement.builds", "engagement.sequence_cohorts_known", "engagement.sequence_firsts",
    "topo.contract_checks", "topo.forgotten", "topo.migrations", "topo.workspace",
]  # fmt: skip
_TABLES = """
SELECT schema_name, table_name, comment FROM duckdb_tables()
WHERE database_name = current_database() AND schema_name IN ('engagement', 'topo')
    AND NOT list_contains($ours_alone, schema_name || '.' || table_name)
ORDER BY ALL
"""
_OPTIONS = {"csv": "FORMAT csv, HEADER", "parquet": "FORMAT parquet, COMPRESSION zstd"}
# Spreadsheets treat a cell that starts with one of these as a formula, and one that starts with ' as text. Some split a
# cell at semicolons, tabs and line breaks.
_QUOTED = (
    r"regexp_replace(replace({}::VARCHAR, chr(0), ''), '(^|[;\t\r\n])([=+@＝＋＠－-])', '\1' || chr(39) || '\2', 'g')"
)
_DAYS = ("day", "cohort_day", "week_start")
# What tells a metric table's rows apart stands first; an activity is looked for by when it was.
_ORDER = {"topo.activities": ("created_at", "id")}
_LEADING = 4


@dataclass(frozen=True)
class Table:
    """A table that can be exported.

    Attributes:
        name: with its schema.
        comment: what the warehouse says it is.
        columns: in order, with the types they are exported as.
    """

    name: str
    comment: str | None
    columns: tuple[Column, ...]

    @property
    def day_column(self) -> str | None:
        """The reporting day of a row, or the first day of its week."""
        return next((column.name for column in self.columns if column.name in _DAYS), None)

    @property
    def order(self) -> tuple[str, ...]:
        """The columns that its rows are sorted by."""
        return _ORDER.get(self.name) or tuple(column.name for column in self.columns[:_LEADING])


def tables(connection: DuckDBPyConnection) -> dict[str, Table]:
    """Every table that can be exported, by its name with its schema."""
    found = connection.execute(_TABLES, {"ours_alone": _OURS_ALONE}).fetchall()
    return {
        f"{schema}.{name}": Table(
            f"{schema}.{name}", comment, tuple(map(_as_written, columns_of(connection, schema, name)))
        )
        for schema, name, comment in found
    }


def export(
    warehouse: Warehouse, name: str, file: Path, *, form: Format, since: date | None = None, raw: bool = False
) -> int:
    """Write one table, every column of it, to `file`, which is replaced if it is there; return the number of rows.

    Args:
        warehouse: Whose table; others wait with writing meanwhile.
        name: The table, with its schema or without.
        file: A regular file, which is replaced once the new one is whole, or nothing. Its mode follows the umask. A CSV
            whose name ends in `.gz` is compressed.
        form: CSV has a header, and instants in UTC.
        since: Leave out rows of earlier days.
        raw: Whether a CSV keeps text that a spreadsheet would treat as a formula unquoted.

    Raises:
        WarehouseError: there is no such table, it has no days, or the file is not a regular file or can't be written.
    """
    _refuse_the_warehouse(warehouse, file)
    try:
        with replacing(file) as new, warehouse.reader() as connection:
            table = _named(tables(connection), name)
            rows = write(
                connection, table, new, form=form, where=_since(table, since), values={"since": since}, raw=raw
            )
    except OSError as error:
        raise WarehouseError(f"{file} can't be written: {error.strerror}") from error
    return rows


def write(
    connection: DuckDBPyConnection,
    table: Table,
    file: Path,
    *,
    form: Format,
    where: str = "true",
    values: Mapping[str, Any] | None = None,
    without: str = "",
    raw: bool = False,
) -> int:
    """Write a table's rows, sorted, to `file`, and return how many; DuckDB streams them, and sorts on disk if need be.

    Args:
        connection: One to the warehouse.
        table: What to write.
        file: Where to.
        form: As what.
        where: A condition of our own.
        values: What it may name; others are left out.
        without: A column to leave out.
        raw: Whether a CSV keeps text that a spreadsheet would treat as a formula unquoted.

    Raises:
        WarehouseError: the file can't be written.
    """
    quote = _QUOTED if form == "csv" and not raw else "{}"
    columns = ", ".join(
        f"{quote.format(_of(it.name)) if it.type == 'VARCHAR' else _of(it.name)}::{it.type} AS {identifier(it.name)}"
        for it in table.columns
        if it.name != without
    )
    select = f"SELECT {columns} FROM {table.name} AS source"  # noqa: S608 - our own names
    order = ", ".join(map(_of, table.order))
    named = {name: value for name, value in (values or {}).items() if f"${name}" in where}
    copy = f"COPY ({select} WHERE {where} ORDER BY {order}) TO {literal(str(file))} ({_OPTIONS[form]})"
    try:
        [(rows,)] = connection.execute(copy, named).fetchall()
    except duckdb.IOException as error:
        raise WarehouseError(f"The export can't be written: {first_line(error)}") from error
    return int(rows)


def _refuse_the_warehouse(warehouse: Warehouse, file: Path) -> None:
    for ours in (warehouse.path, *logs_of(warehouse.path)):
        if file.exists() and ours.exists() and file.samefile(ours):
            raise WarehouseError(f"{file} is the warehouse itself: export to another file.")


def _as_written(column: Column) -> Column:
    """Return the column as exported: UUIDs as text, since pandas and polars read a Parquet UUID as 16 raw bytes."""
    return replace(column, type="VARCHAR") if column.type == "UUID" else column


def _of(column: str) -> str:
    return f"source.{identifier(column)}"


def _named(known: Mapping[str, Table], name: str) -> Table:
    asked = {name.lower(), f"engagement.{name.lower()}", f"topo.{name.lower()}"}
    for table in known.values():
        if table.name in asked:
            return table
    raise WarehouseError(f"There is no table {name}. There are: {', '.join(known)}.")


def _since(table: Table, since: date | None) -> str:
    if since is None:
        return "true"
    if table.day_column is None:
        raise WarehouseError(f"{table.name} has no days to tell what is since {since}: export it whole.")
    return f"{table.day_column} >= $since"
