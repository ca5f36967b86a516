"""The metric tables as their .sql files tell of them: what they are, what they read, how they are built.

A file is a script: statements that leave `engagement.<file name>` built and commented. Its parameters say what it
is: `$days` makes it partitioned by day; a note in `engagement.builds` makes it incremental. What a file reads is
read off the schema-qualified names in it. A new table is a new file, nothing else.
"""

import hashlib
import importlib.resources
import json
import re
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from topo_pipeline.engagement import macros
from topo_pipeline.engagement.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

_NAME = re.compile(r"\b(?:FROM|JOIN)\s+(topo|engagement)\.(\w+)")
_COMMENT = re.compile(r"COMMENT ON TABLE \S+ IS '((?:[^']|'')*)'")
# Views and bookkeeping stand for the assets that they are made of.
_MADE_OF = {"topo.days": "topo.activities", "topo.loads": "topo.activities", "topo.activity_changes": "topo.activities"}
_BOOKKEEPING = {"engagement.builds"}


@dataclass(frozen=True)
class MetricTable:
    """One table of schema `engagement`: its name and the script that builds it."""

    name: str
    sql: str

    @property
    def description(self) -> str:
        """What the table is: its own comment."""
        found = _COMMENT.search(self.sql)
        if found is None:
            raise ValueError(f"{self.name}.sql comments no table")
        return found.group(1).replace("''", "'")

    @property
    def is_daily(self) -> bool:
        """Whether it is built day by day."""
        return "$days" in self.sql

    @property
    def is_incremental(self) -> bool:
        """Whether a build takes in only what is new."""
        return "engagement.builds" in self.sql

    @property
    def reads(self) -> frozenset[tuple[str, str]]:
        """The tables (schema, name) that it is made of."""
        named = {".".join(found) for found in _NAME.findall(self.sql)}
        made_of = {_MADE_OF.get(name, name) for name in named} - _BOOKKEEPING - {f"engagement.{self.name}"}
        return frozenset((schema, name) for schema, _, name in (full.partition(".") for full in made_of))

    def fingerprint(self, rules: Rules, timezone: str) -> str:
        """Tell apart what the table is made by: another SQL, rule or zone gives another fingerprint."""
        made_by = json.dumps([self.sql, asdict(rules), timezone])
        return hashlib.sha256(made_by.encode()).hexdigest()[:16]


@cache
def tables() -> dict[str, MetricTable]:
    """Every metric table by its name."""
    folder = importlib.resources.files("topo_pipeline.engagement")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    found = (MetricTable(f.name.removesuffix(".sql"), f.read_text(encoding="utf-8")) for f in files)
    return {table.name: table for table in found}


def build(
    connection: "DuckDBPyConnection",
    table: MetricTable,
    *,
    timezone: str,
    now: datetime,
    rules: Rules = Rules(),
    days: "Sequence[date]" = (),
    full_refresh: bool = False,
) -> int:
    """Build `table` in the caller's transaction and return its number of rows.

    An incremental table made by other SQL or rules than these is rebuilt from nothing, over every landed day.

    Args:
        connection: a connection in a transaction.
        table: what to build.
        timezone: the reporting zone (IANA).
        now: noted as the time of the build; no number depends on it.
        rules: reply classes, windows and lines of evidence.
        days: for a daily table: the days to build.
        full_refresh: whether an incremental table forgets what it took in.
    """
    fingerprint = table.fingerprint(rules, timezone)
    if table.is_incremental and (full_refresh or _made_otherwise(connection, table, fingerprint)):
        _forget(connection, table)
        days = [day for (day,) in connection.execute("SELECT day FROM topo.days ORDER BY day").fetchall()]
    macros.define(connection)
    values = {
        **{name: list(value) if isinstance(value, tuple) else value for name, value in asdict(rules).items()},
        **{"timezone": timezone, "now": now, "days": list(days), "fingerprint": fingerprint},
    }
    _run(connection, table.sql, values)
    return count(connection, table)


def count(connection: "DuckDBPyConnection", table: MetricTable) -> int:
    """Return how many rows the table has."""
    row = connection.execute(f"SELECT count(*) FROM engagement.{table.name}").fetchone()  # noqa: S608 - a file's name
    return int(row[0]) if row else 0


def _run(connection: "DuckDBPyConnection", script: str, values: dict[str, Any]) -> None:
    """Execute a script statement by statement, each with the values that it names."""
    for statement in connection.extract_statements(script):
        connection.execute(statement, {name: values[name] for name in statement.named_parameters})


def _made_otherwise(connection: "DuckDBPyConnection", table: MetricTable, fingerprint: str) -> bool:
    built = connection.execute(
        "SELECT 1 FROM engagement.builds WHERE table_name = ? AND fingerprint <> ? LIMIT 1", [table.name, fingerprint]
    )
    return built.fetchone() is not None


def _forget(connection: "DuckDBPyConnection", table: MetricTable) -> None:
    connection.execute(f"DROP TABLE IF EXISTS engagement.{table.name}")
    connection.execute("DELETE FROM engagement.builds WHERE table_name = ?", [table.name])
