"""The metric tables as their .sql files tell of them: what they are, what they read, how they are built.

A file is a script: statements that leave `engagement.<file name>` built and commented, and what they keep beside it in
the same transaction. What it names says what it is: `$days` makes it partitioned by day; a note in `engagement.builds`
means that it is kept between builds; the line `-- Grain:` names the columns that tell its rows apart. What a file reads
is read off the schema-qualified names in it; what is kept beside a table counts as that table. What many rates have in
common is a Jinja macro (`rates.jinja`). A new table is a new file, nothing else.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import cache
from graphlib import TopologicalSorter
from string import Template
from typing import TYPE_CHECKING, Any

import jinja2

from topo_pipeline.engagement import macros
from topo_pipeline.engagement.rules import DEFAULT_RULES, Rules
from topo_pipeline.warehouse.catalogue import Column, columns_of, tables_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from duckdb import DuckDBPyConnection

_NAME = re.compile(r"\b(?:FROM|JOIN)\s+((?:topo|engagement)\.\w+|landed_days)")
_COMMENT = re.compile(
    r"^COMMENT ON (?:TABLE|COLUMN) engagement\.(\w+)(?:\.(\w+))? IS '((?:[^']|'')*)';\n?", re.MULTILINE
)
_TEXT_OR_REMARK = re.compile(r"('(?:[^']|'')*')|\s*--[^\n]*")
_PARAMETER = re.compile(r"\$(\w+)")
_SLICED = re.compile(r"^-- For each slice of (\w+)[^\n]*\n(.*?)^-- End of slice\.$", re.MULTILINE | re.DOTALL)
_GRAIN = re.compile(r"^-- Grain: (.+)$", re.MULTILINE)
# What landing writes beside the activities is part of that asset.
_MADE_OF = dict.fromkeys(("landed_days", "topo.loads", "topo.activity_changes", "topo.rejects"), "topo.activities")
_COMMENTS_THERE = """
SELECT table_name, '', comment FROM duckdb_tables()
WHERE database_name = current_database() AND schema_name = 'engagement'
UNION ALL
SELECT table_name, column_name, comment FROM duckdb_columns()
WHERE database_name = current_database() AND schema_name = 'engagement'
"""
_BOOKKEEPING = {"engagement.builds"}


@dataclass(frozen=True)
class MetricTable:
    """One table of schema `engagement`: its name and the script that builds it."""

    name: str
    sql: str

    @property
    def statements(self) -> str:
        """The script without the comments on tables and columns."""
        return _COMMENT.sub("", self.sql)

    def comments(self, rules: Rules = DEFAULT_RULES) -> dict[str, dict[str, str]]:
        """Return the comments on the tables that the script builds, its own first, by column; "" is the table.

        A rule that a comment names as `$rule` is replaced by its value.
        """
        found: dict[str, dict[str, str]] = {self.name: {}}
        for table, column, text in _COMMENT.findall(self.sql):
            found.setdefault(table, {})[column] = Template(text.replace("''", "'")).substitute(asdict(rules))
        if "" not in found[self.name]:
            raise ValueError(f"{self.name}.sql has no comment on its table")
        return found

    @property
    def description(self) -> str:
        """The comment on the table."""
        return self.comments()[self.name][""]

    @property
    def columns(self) -> list[str]:
        """The names of its columns, in order."""
        return [column for column in self.comments()[self.name] if column]

    @property
    def grain(self) -> tuple[str, ...]:
        """The columns that tell its rows apart."""
        found = _GRAIN.search(self.sql)
        if found is None:
            raise ValueError(f"{self.name}.sql has no line `-- Grain: …`")
        return tuple(name.strip() for name in found.group(1).split(","))

    @property
    def is_daily(self) -> bool:
        """Whether it is built day by day."""
        return "$days" in self.sql

    @property
    def is_incremental(self) -> bool:
        """Whether it is kept between builds, which note the loads that they took in and by what it was made."""
        return "engagement.builds" in self.sql

    @property
    def reads(self) -> frozenset[tuple[str, str]]:
        """The tables (schema, name) that it is made of."""
        made_of = {_MADE_OF.get(name, name) for name in _NAME.findall(self.sql)} - _BOOKKEEPING
        made_of = {_kept_with().get(name, name) for name in made_of} - {f"engagement.{self.name}"}
        return frozenset((schema, name) for schema, _, name in (full.partition(".") for full in made_of))

    def fingerprint(self, rules: Rules, timezone: str) -> str:
        """Return a hash of what decides the rows: statements, macros, and the rules and time zone that they name."""
        statements = _TEXT_OR_REMARK.sub(r"\1", self.statements)
        values = asdict(rules) | {"timezone": timezone}
        named = {name: values[name] for name in sorted({*_PARAMETER.findall(statements)} & values.keys())}
        made_by = json.dumps([statements, macros.DEFINITIONS, named])
        return hashlib.sha256(made_by.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Built:
    """A table as a build left it; `rows_by_day` holds those of the days asked for that are landed."""

    rows: int
    columns: tuple[Column, ...]
    rows_by_day: dict[date, int]


@cache
def tables() -> dict[str, MetricTable]:
    """Return every metric table by its name, in the order of the names."""
    files = jinja2.Environment(
        loader=jinja2.PackageLoader("topo_pipeline", "engagement"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        autoescape=False,  # noqa: S701 - SQL of our own, no HTML
    )
    names = sorted(name.removesuffix(".sql") for name in files.list_templates(["sql"]))
    return {name: MetricTable(name, files.get_template(f"{name}.sql").render()) for name in names}


@cache
def _kept_with() -> dict[str, str]:
    """For each table that is kept beside another by its script: that other, by their full names."""
    return {
        f"engagement.{beside}": f"engagement.{table.name}" for table in tables().values() for beside in table.comments()
    }


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

    A table that takes loads in one by one, but was made by other SQL or rules than these, or of which something is
    gone, is rebuilt from nothing, over the days that it was made of.

    Args:
        connection: a connection in a transaction.
        table: what to build.
        timezone: the reporting zone (IANA).
        now: noted as the time of the build; no number depends on it.
        rules: reply classes, windows and lines of evidence.
        days: for a daily table: the days to build.
        full_refresh: whether to rebuild from nothing, over every landed day.
    """
    fingerprint = table.fingerprint(rules, timezone)
    building = set(days)
    if table.is_incremental and (full_refresh or not _made_so(connection, table, fingerprint)):
        building |= _start_anew(connection, table, all_days=full_refresh)
    macros.define(connection)
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(rules).items()}
    _run(
        connection,
        table.statements,
        settings | {"timezone": timezone, "now": now, "days": sorted(building), "fingerprint": fingerprint},
    )
    _comment(connection, table.comments(rules))
    return _describe(connection, table, days)


def rebuild(connection: "DuckDBPyConnection", *, timezone: str, now: datetime, rules: Rules) -> list[str]:
    """Build every table that there is from nothing, over the days that it was made of; return their names.

    For what took rows away in another way than a load does: no table can tell which of its own rows that touched. One
    that is not there is built where another that is there is made of it by now: an older version had fewer tables.
    """
    tables_in_order = list(in_order())
    there = tables_of(connection)
    due = {table.name for table in tables_in_order if ("engagement", table.name) in there}
    for table in reversed(tables_in_order):
        due |= {name for _, name in table.reads if table.name in due} & tables().keys()
    for table in tables_in_order:
        if table.name in due:
            days = _start_anew(connection, table, all_days=False) if table.is_incremental else ()
            build(connection, table, timezone=timezone, now=now, rules=rules, days=sorted(days))
    return [table.name for table in tables_in_order if table.name in due]


def in_order() -> "Iterator[MetricTable]":
    """Every table after those that it is made of."""
    graph = {name: {read for schema, read in table.reads if schema == "engagement"} for name, table in tables().items()}
    return (tables()[name] for name in TopologicalSorter(graph).static_order())


def _run(connection: "DuckDBPyConnection", script: str, values: dict[str, Any]) -> None:
    """Execute a script; what stands between `-- For each slice of <table>` and `-- End of slice.` once a slice."""
    sliced = _SLICED.search(script)
    if sliced is None:
        return _execute(connection, script, values)
    _execute(connection, script[: sliced.start()], values)
    [(slices,)] = connection.execute(f"SELECT count(DISTINCT slice) FROM {sliced[1]}").fetchall()  # noqa: S608
    for number in range(slices):
        _execute(connection, sliced[2], values | {"slice": number})
    return _execute(connection, script[sliced.end() :], values)


def _execute(connection: "DuckDBPyConnection", script: str, values: dict[str, Any]) -> None:
    """Execute statement by statement, each with the values that it names."""
    for statement in connection.extract_statements(script):
        connection.execute(statement, {name: values[name] for name in statement.named_parameters})


def _comment(connection: "DuckDBPyConnection", wanted: dict[str, dict[str, str]]) -> None:
    """Write the comments that differ from those in the warehouse."""
    there = {(table, column): text for table, column, text in connection.execute(_COMMENTS_THERE).fetchall()}
    for table, comments in wanted.items():
        for column, text in comments.items():
            if there.get((table, column)) != text:
                target = f"COLUMN engagement.{table}.{column}" if column else f"TABLE engagement.{table}"
                connection.execute(f"COMMENT ON {target} IS '{text.replace(chr(39), chr(39) * 2)}'")


def _made_so(connection: "DuckDBPyConnection", table: MetricTable, fingerprint: str) -> bool:
    """Whether the table took in its loads by this SQL and these rules; one that took in none can be made anew.

    So can one that is gone, or has lost what it keeps beside it: a build would take in the loads to come alone.
    """
    if not {("engagement", name) for name in table.comments()} <= tables_of(connection):
        return False
    built = connection.execute(
        "SELECT 1 FROM engagement.builds WHERE table_name = ? AND fingerprint = ? LIMIT 1", [table.name, fingerprint]
    )
    return built.fetchone() is not None


def _start_anew(connection: "DuckDBPyConnection", table: MetricTable, *, all_days: bool) -> set[date]:
    """Drop the table and what it noted; return the days to make it of again: those it was made of, or every one."""
    made_of = connection.execute(
        "SELECT DISTINCT day FROM topo.loads"
        " WHERE $all_days OR load_id IN (SELECT load_id FROM engagement.builds WHERE table_name = $table)",
        {"all_days": all_days, "table": table.name},
    ).fetchall()
    for name in table.comments():
        connection.execute(f"DROP TABLE IF EXISTS engagement.{name}")
    _forget(connection, table)
    return {day for (day,) in made_of}


def _forget(connection: "DuckDBPyConnection", table: MetricTable) -> None:
    """Delete what the table noted of its builds, and what the kept tables made of it noted: all are due anew."""
    connection.execute("DELETE FROM engagement.builds WHERE table_name = ?", [table.name])
    for reader in tables().values():
        if reader.is_incremental and ("engagement", table.name) in reader.reads:
            _forget(connection, reader)


def _describe(connection: "DuckDBPyConnection", table: MetricTable, days: "Sequence[date]") -> Built:
    """Read back what the build left. A table's name is its file's, so it can stand in a statement."""
    rows = connection.execute(f"SELECT count(*) FROM engagement.{table.name}").fetchall()  # noqa: S608
    rows_by_day = {}
    if table.is_daily:
        counted = connection.execute(
            f"SELECT day, count(built.day) FROM landed_days LEFT JOIN engagement.{table.name} AS built USING (day)"  # noqa: S608
            " WHERE day IN (SELECT unnest($days::DATE[])) GROUP BY day ORDER BY day",
            {"days": list(days)},
        )
        rows_by_day = dict(counted.fetchall())
    return Built(rows[0][0], columns_of(connection, "engagement", table.name), rows_by_day)
