"""Build the metric tables: from scratch, or what has changed since the last build.

The table `engagement.builds` records the loads that an incremental table has processed, and its fingerprint.
"""

import re
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from topo_pipeline.engagement import macros
from topo_pipeline.engagement.rules import DEFAULT_RULES, Rules
from topo_pipeline.engagement.tables import MetricTable, in_order, tables
from topo_pipeline.warehouse.catalogue import Catalog, Column, columns_by_table, tables_of
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.sql import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

_SLICED = re.compile(r"^-- For each slice of (\w+)[^\n]*\n(.*?)^-- End of slice\.$", re.MULTILINE | re.DOTALL)
_TABLE_COMMENTS = """
SELECT table_name, comment FROM duckdb_tables()
WHERE database_name = current_database() AND schema_name = 'engagement'
"""
# Compares hashes: EXCEPT takes as long as rewriting the table.
_REPLACED_DAYS = """
CREATE OR REPLACE TEMP TABLE replaced_days AS
SELECT day
FROM (SELECT day, sum(hash(built)) AS content FROM engagement.{table} AS built GROUP BY day) AS before
FULL JOIN (SELECT day, sum(hash(queried)) AS content FROM temp.queried GROUP BY day) AS after USING (day)
WHERE before.content IS DISTINCT FROM after.content
"""


@dataclass(frozen=True)
class Built:
    """A table after a build.

    Attributes:
        rows: The number of rows.
        rows_by_day: For a daily table, the rows of each landed day that was built.
        columns: In order, with their comments.
        was_outdated: Whether it was rebuilt from scratch because its SQL, its companions or its rules have changed, or
            because a table that it reads was rebuilt.
    """

    rows: int
    rows_by_day: dict[date, int]
    columns: tuple[Column, ...]
    was_outdated: bool = False


def build(
    connection: "DuckDBPyConnection",
    table: MetricTable,
    *,
    timezone: str,
    now: datetime,
    rules: Rules = DEFAULT_RULES,
    days: "Sequence[date]" = (),
    full_refresh: bool = False,
) -> Built:
    """Build `table` in the caller's transaction.

    An incremental table processes every load that it has not processed yet. It is rebuilt from scratch when its
    fingerprint has changed, one of its tables is missing, or a table that it reads was rebuilt.

    Args:
        connection: A connection in a transaction.
        table: The table to build.
        timezone: The reporting time zone (IANA name).
        now: Recorded as the time of the build. No number depends on it.
        rules: Reply classes, outcome windows and evidence thresholds.
        days: For a daily table, days to build in any case.
        full_refresh: Whether to rebuild from scratch.

    Raises:
        WarehouseError: a table that it reads is not built yet.
    """
    concerned = {*table.comments(), *(name for _, name in table.reads)}
    existing = columns_by_table(connection, concerned)
    _require_inputs(table, existing)
    fingerprint = table.fingerprint(rules, timezone)
    was_reset = is_new = False
    if table.is_incremental and (full_refresh or not _is_current(connection, table, existing, fingerprint)):
        was_reset, is_new = _reset(connection, table), True
    days = sorted({*days, *days_behind(connection, table.name)}) if table.is_daily else ()
    macros.define(connection)
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(rules).items()}
    values |= {"timezone": timezone, "now": now, "days": list(days), "fingerprint": fingerprint}
    if table.is_incremental:
        _run(connection, table.statements, values)
    else:
        is_new = _replace_rows(connection, table, existing, values)
    if is_new:
        existing = columns_by_table(connection, concerned)
    comments = table.comments(rules)
    _comment(connection, comments, existing)
    columns = (replace(it, comment=comments[table.name].get(it.name)) for it in existing["engagement", table.name])
    return Built(*_count(connection, table, days), tuple(columns), was_outdated=was_reset and not full_refresh)


def days_behind(connection: "DuckDBPyConnection", table: str) -> tuple[date, ...]:
    """Return the days whose last load an incremental table has not processed."""
    behind = rows(
        connection,
        "SELECT day FROM landed_days ANTI JOIN"
        " (SELECT load_id FROM engagement.builds WHERE table_name = $table) USING (load_id) ORDER BY day",
        table=table,
    )
    return tuple(row["day"] for row in behind)


def built_days(connection: "DuckDBPyConnection", table: str) -> tuple[date, ...]:
    """Return the days whose last load an incremental table has processed."""
    built = connection.execute(
        "SELECT day FROM landed_days JOIN engagement.builds USING (load_id) WHERE table_name = ? ORDER BY day", [table]
    ).fetchall()
    return tuple(day for (day,) in built)


def _require_inputs(table: MetricTable, existing: Catalog) -> None:
    missing = {upstream for upstream in table.reads if upstream[0] == "engagement"} - existing.keys()
    if missing:
        first = ", ".join(sorted(map(".".join, missing)))
        raise WarehouseError(f"engagement.{table.name} reads tables that are not built yet. Build them first: {first}")


def rebuild(connection: "DuckDBPyConnection", *, timezone: str, now: datetime, rules: Rules) -> list[str]:
    """Rebuild every existing table from scratch, and return the names.

    Use this after rows were removed without a load, because then no load says which rows of the tables to update. A
    missing table is built if an existing one reads it, because an older version had fewer tables.
    """
    tables_in_order = list(in_order())
    existing = tables_of(connection)
    due = {table.name for table in tables_in_order if ("engagement", table.name) in existing}
    for table in reversed(tables_in_order):
        due |= {name for _, name in table.reads if table.name in due} & tables().keys()
    for table in tables_in_order:
        if table.name in due:
            build(connection, table, timezone=timezone, now=now, rules=rules, full_refresh=table.is_incremental)
    return [table.name for table in tables_in_order if table.name in due]


def _replace_rows(
    connection: "DuckDBPyConnection", table: MetricTable, existing: Catalog, values: dict[str, Any]
) -> bool:
    """Replace the rows by those of the table's query. By sequence and day, only days that differ are written.

    The table itself stays, and so do its comments, unless its columns have changed.

    Returns:
        Whether it is a new table.
    """
    _execute(connection, f"CREATE OR REPLACE TEMP TABLE queried AS {table.statements}", values)
    queried = [column[:2] for column in connection.execute("DESCRIBE temp.queried").fetchall()]
    is_new = queried != [(column.name, column.type) for column in existing.get(("engagement", table.name), ())]
    if is_new:
        connection.execute(f"CREATE OR REPLACE TABLE engagement.{table.name} AS FROM temp.queried")
    else:
        replaced = ""
        if "day" in table.grain and len(table.grain) > 1:  # with one row per day, rewriting everything is cheaper
            connection.execute(_REPLACED_DAYS.format(table=table.name))
            replaced = " WHERE day IN (FROM temp.replaced_days) OR day IS NULL"
        connection.execute(f"DELETE FROM engagement.{table.name}{replaced}")  # noqa: S608 - a file name of this package
        connection.execute(f"INSERT INTO engagement.{table.name} FROM temp.queried{replaced}")
    connection.execute("DROP TABLE temp.queried")
    return is_new


def _run(connection: "DuckDBPyConnection", script: str, values: dict[str, Any]) -> None:
    """Execute a script. The part from `-- For each slice of <table>` to `-- End of slice.` runs once per slice."""
    sliced = _SLICED.search(script)
    if sliced is None:
        return _execute(connection, script, values)
    _execute(connection, script[: sliced.start()], values)
    [(slices,)] = connection.execute(f"SELECT count(DISTINCT slice) FROM {sliced[1]}").fetchall()  # noqa: S608
    for number in range(slices):
        _execute(connection, sliced[2], values | {"slice": number})
    return _execute(connection, script[sliced.end() :], values)


def _execute(connection: "DuckDBPyConnection", script: str, values: dict[str, Any]) -> None:
    """Execute each statement with the parameters it uses."""
    for statement in connection.extract_statements(script):
        connection.execute(statement, {name: values[name] for name in statement.named_parameters})


def _comment(connection: "DuckDBPyConnection", wanted: dict[str, dict[str, str]], existing: Catalog) -> None:
    """Write the comments that differ from the ones in the warehouse."""
    current = {(table, ""): text for table, text in connection.execute(_TABLE_COMMENTS).fetchall()}
    ours = {table: columns for (schema, table), columns in existing.items() if schema == "engagement"}
    current |= {(table, column.name): column.comment for table, columns in ours.items() for column in columns}
    for table, comments in wanted.items():
        for column, text in comments.items():
            if current.get((table, column)) != text:
                target = f"COLUMN engagement.{table}.{column}" if column else f"TABLE engagement.{table}"
                connection.execute(f"COMMENT ON {target} IS '{text.replace(chr(39), chr(39) * 2)}'")


def _is_current(connection: "DuckDBPyConnection", table: MetricTable, existing: Catalog, fingerprint: str) -> bool:
    """Return whether the table and its companions exist and its recorded builds have this fingerprint.

    A build without either would only process new loads. A table that has no recorded builds is not current either.
    """
    if not {("engagement", name) for name in table.comments()} <= existing.keys():
        return False
    built = connection.execute(
        "SELECT 1 FROM engagement.builds WHERE table_name = ? AND fingerprint = ? LIMIT 1", [table.name, fingerprint]
    )
    return built.fetchone() is not None


def _reset(connection: "DuckDBPyConnection", table: MetricTable) -> bool:
    """Drop the table and its build records. Return whether there were any."""
    for name in table.comments():
        connection.execute(f"DROP TABLE IF EXISTS engagement.{name}")
    deleted = connection.execute("DELETE FROM engagement.builds WHERE table_name = ?", [table.name]).fetchone()
    _outdate_readers(connection, table)
    return deleted is not None and deleted[0] > 0


def _outdate_readers(connection: "DuckDBPyConnection", table: MetricTable) -> None:
    """Clear the fingerprints of the incremental tables that read the table, so that their next build is from scratch.

    Their build records stay, because they say from which days to rebuild.
    """
    for reader in tables().values():
        if reader.is_incremental and ("engagement", table.name) in reader.reads:
            connection.execute("UPDATE engagement.builds SET fingerprint = '' WHERE table_name = ?", [reader.name])
            _outdate_readers(connection, reader)


def _count(connection: "DuckDBPyConnection", table: MetricTable, days: "Sequence[date]") -> tuple[int, dict[date, int]]:
    """Return the number of rows, and of a daily table the rows of each of these days that has landed."""
    [(rows,)] = connection.execute(f"SELECT count(*) FROM engagement.{table.name}").fetchall()  # noqa: S608 - a file name
    if not table.is_daily:
        return rows, {}
    by_day = connection.execute(
        f"SELECT day, count(built.day) FROM landed_days LEFT JOIN engagement.{table.name} AS built USING (day)"  # noqa: S608
        " WHERE day IN (SELECT unnest($days::DATE[])) GROUP BY day ORDER BY day",
        {"days": list(days)},
    )
    return rows, dict(by_day.fetchall())
