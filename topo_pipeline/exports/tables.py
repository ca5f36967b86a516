"""Export a table as a CSV or Parquet file. Defines which tables can be exported, and how their rows are written."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse.catalogue import Column, columns_by_table
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.files import replacing
from topo_pipeline.warehouse.sql import identifier, literal, reason_of

Format = Literal["csv", "parquet"]
# Bookkeeping tables. topo.workspace also has the key of the hashes of erased subjects.
_INTERNAL = [
    "engagement.builds", "engagement.sequence_cohorts_known", "engagement.sequence_firsts",
    "topo.contract_checks", "topo.forgotten", "topo.migrations", "topo.workspace",
]  # fmt: skip
_TABLES = """
SELECT schema_name, table_name, comment FROM duckdb_tables()
WHERE database_name = current_database() AND schema_name IN ('engagement', 'topo')
    AND NOT list_contains($internal, schema_name || '.' || table_name)
ORDER BY ALL
"""
_OPTIONS = {"csv": "FORMAT csv, HEADER", "parquet": "FORMAT parquet, COMPRESSION zstd"}
# Spreadsheets treat a cell that starts with one of these characters as a formula, and one that starts with ' as text.
# Some split a cell at semicolons, tabs and line breaks.
_QUOTED = (
    r"regexp_replace(replace({}::VARCHAR, chr(0), ''), '(^|[;\t\r\n])([=+@＝＋＠－-])', '\1' || chr(39) || '\2', 'g')"
)
# Types that Parquet, Postgres, Iceberg and their readers hold in the same way, and lists of them. Others don't fit
# everywhere: a HUGEINT becomes a float in Parquet and Postgres, a UUID 16 raw bytes in pandas and polars.
_PORTABLE = re.compile(
    r"(BIGINT|INTEGER|SMALLINT|BOOLEAN|DATE|DOUBLE|FLOAT|VARCHAR|TIMESTAMP( WITH TIME ZONE)?|DECIMAL\(\d+,\d+\))(\[\])?"
)
_NESTED = re.compile(r"(STRUCT|MAP|UNION)\(.*|.*\[\d*\]")
_DAYS = ("day", "cohort_day", "week_start")
# The first columns of a metric table identify its rows. Activities are sorted by time.
_ORDER = {"topo.activities": ("created_at", "id")}
_LEADING = 4


@dataclass(frozen=True)
class Table:
    """A table that can be exported."""

    name: str  # the name with its schema
    comment: str | None  # the table's comment in the warehouse
    columns: tuple[Column, ...]  # in order, with the types of the exported columns
    nested: frozenset[str] = frozenset()  # the columns that are exported as JSON text

    @property
    def day_column(self) -> str | None:
        """The column with the reporting day of a row, or with the first day of its week."""
        return next((column.name for column in self.columns if column.name in _DAYS), None)

    @property
    def order(self) -> tuple[str, ...]:
        """The columns by which the rows are sorted."""
        return _ORDER.get(self.name) or tuple(column.name for column in self.columns[:_LEADING])


def tables(connection: DuckDBPyConnection) -> dict[str, Table]:
    """Return every table that can be exported, by its name with its schema."""
    found = connection.execute(_TABLES, {"internal": _INTERNAL}).fetchall()
    columns = columns_by_table(connection)
    return {
        f"{schema}.{name}": _table(f"{schema}.{name}", comment, columns[schema, name])
        for schema, name, comment in found
    }


def _table(name: str, comment: str | None, columns: tuple[Column, ...]) -> Table:
    # What a target would round, refuse or show as bytes becomes text.
    exported = tuple(each if _PORTABLE.fullmatch(each.type) else replace(each, type="VARCHAR") for each in columns)
    pairs = zip(columns, exported, strict=True)
    nested = frozenset(was.name for was, now in pairs if was.type != now.type and _NESTED.fullmatch(was.type))
    return Table(name, comment, exported, nested)


def export(
    warehouse: Warehouse, name: str, file: Path, *, form: Format, since: date | None = None, raw: bool = False
) -> int:
    """Write all columns of one table to `file`, replacing it if it exists, and return the number of rows.

    Args:
        warehouse: The warehouse to read. Writers wait until the export is done.
        name: The table, with or without its schema.
        file: The destination: a regular file, which is replaced once the new one is complete, or a new name. Its mode
            follows the umask. A CSV file whose name ends in `.gz` is compressed.
        form: CSV has a header, and instants in UTC.
        since: Leave out rows of earlier days.
        raw: Whether to leave text unquoted in a CSV file that a spreadsheet would treat as a formula.

    Raises:
        WarehouseError: there is no such table; `since` is given and the table has no days; or the file is not a regular
            file or can't be written.
    """
    _refuse_the_warehouse(warehouse, file)
    try:
        with replacing(file) as new, warehouse.reader() as connection:
            table = _find(tables(connection), name)
            rows = write(connection, table, new, form=form, raw=raw, **_since(table, since))
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError)
        reason = f"there is no folder {file.parent}" if is_missing else error.strerror
        raise WarehouseError(f"{file} can't be written: {reason}") from error
    return rows


def write(
    connection: DuckDBPyConnection,
    table: Table,
    file: Path,
    *,
    form: Format,
    where: str = "true",
    values: Mapping[str, Any] = MappingProxyType({}),
    without: str = "",
    raw: bool = False,
) -> int:
    """Write a table's sorted rows to `file` and return their number. DuckDB streams them, and sorts on disk if needed.

    Args:
        connection: A connection to the warehouse.
        table: The table to write.
        file: The destination.
        form: The file format.
        where: A trusted SQL condition.
        values: The parameters of the condition.
        without: A column to leave out.
        raw: Whether to leave text unquoted in a CSV file that a spreadsheet would treat as a formula.

    Raises:
        WarehouseError: the file can't be written.
    """
    quote = _QUOTED if form == "csv" and not raw else "{}"
    columns = ", ".join(_selected(table, column, quote) for column in table.columns if column.name != without)
    select = f"SELECT {columns} FROM {table.name} AS source"  # noqa: S608 - names from the catalog
    order = ", ".join(map(_ref, table.order))
    copy = f"COPY ({select} WHERE {where} ORDER BY {order}) TO {literal(str(file))} ({_OPTIONS[form]})"
    try:
        [(rows,)] = connection.execute(copy, dict(values)).fetchall()
    except duckdb.IOException as error:
        raise WarehouseError(f"The export can't be written: {reason_of(error)}") from error
    return int(rows)


def _refuse_the_warehouse(warehouse: Warehouse, file: Path) -> None:
    for path in warehouse.place.files():
        if file.exists() and path.exists() and file.samefile(path):
            raise WarehouseError(f"{file} is the warehouse itself. Export to another file.")


def _selected(table: Table, column: Column, quote: str) -> str:
    reference = _ref(column.name)
    if column.name in table.nested:
        reference = f"to_json({reference})"
    value = quote.format(reference) if column.type == "VARCHAR" else reference
    return f"{value}::{column.type} AS {identifier(column.name)}"


def _ref(column: str) -> str:
    return f"source.{identifier(column)}"


def _find(known: Mapping[str, Table], name: str) -> Table:
    names = {name.lower(), f"engagement.{name.lower()}", f"topo.{name.lower()}"}
    for table in known.values():
        if table.name in names:
            return table
    short = {table.name.partition(".")[2]: table.name for table in known.values()}
    close = [short[found] for found in get_close_matches(name.lower().rpartition(".")[2], short)]
    choice = f"Did you mean: {', '.join(close)}?" if close else f"Choose one of: {', '.join(known)}."
    raise WarehouseError(f"There is no table {name} to export. {choice}")


def _since(table: Table, since: date | None) -> dict[str, Any]:
    """Return the condition and its value."""
    if since is None:
        return {}
    if table.day_column is None:
        raise WarehouseError(f"{table.name} has no days to filter by: export it without --since.")
    return {"where": f"{table.day_column} >= $since", "values": {"since": since}}
