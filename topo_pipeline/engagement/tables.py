"""The metric tables, as defined by their .sql files: description, lineage and grain.

A .sql file is the query that returns the rows of `engagement.<file name>`, and the comments on its columns. The file
of an incremental table is a script instead: it updates the table, and any companion tables, and notes the loads in
`engagement.builds`. The parts that build a companion are macros in a .jinja file with the name of the companion. A
table whose script uses `$days` is partitioned by day. The line `-- Grain:` names the key columns. Upstream tables are
the schema-qualified names in the script. A companion counts as part of its main table. The columns of a rate are a
Jinja macro (`rates.jinja`); `macros.py` has the SQL macros. To add a table, add a file.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from graphlib import TopologicalSorter
from string import Template
from typing import TYPE_CHECKING

from topo_pipeline.engagement import macros
from topo_pipeline.engagement.rules import DEFAULT_RULES, Rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jinja2

_NAME = re.compile(r"\b(?:FROM|JOIN)\s+((?:topo|engagement)\.\w+|landed_days)")
_COMMENT = re.compile(
    r"^COMMENT ON (?:TABLE|COLUMN) engagement\.(\w+)(?:\.(\w+))? IS '((?:[^']|'')*)';\n?", re.MULTILINE
)
_TEXT_OR_REMARK = re.compile(r"('(?:[^']|'')*')|\s*--[^\n]*")
_PARAMETER = re.compile(r"\$(\w+)")
_GRAIN = re.compile(r"^-- Grain: (.+)$", re.MULTILINE)
# Tables that landing writes with the activities belong to that asset.
_OWNERS = dict.fromkeys(("landed_days", "topo.loads", "topo.activity_changes", "topo.rejects"), "topo.activities")
_BOOKKEEPING = {"engagement.builds"}


@dataclass(frozen=True)
class MetricTable:
    """One table of schema `engagement`: its name and the script that builds it."""

    name: str
    sql: str

    @cached_property
    def statements(self) -> str:
        """The script without the comments on tables and columns."""
        return _COMMENT.sub("", self.sql)

    def comments(self, rules: Rules = DEFAULT_RULES) -> dict[str, dict[str, str]]:
        """Return the comments by table and column, the main table first. The key "" is the table itself.

        `$rule` in a comment is replaced by the value of that rule.
        """
        found: dict[str, dict[str, str]] = {self.name: {}}
        values = asdict(rules)
        for table, column, text in self._comments:
            found.setdefault(table, {})[column] = text.substitute(values)
        if "" not in found[self.name]:
            raise ValueError(f"{self.name}.sql has no comment on its table")
        return found

    @cached_property
    def _comments(self) -> list[tuple[str, str, Template]]:
        return [(table, name, Template(text.replace("''", "'"))) for table, name, text in _COMMENT.findall(self.sql)]

    @property
    def description(self) -> str:
        """The table comment."""
        return self.comments()[self.name][""]

    @cached_property
    def columns(self) -> list[str]:
        """The column names, in order."""
        return [column for column in self.comments()[self.name] if column]

    @property
    def grain(self) -> tuple[str, ...]:
        """The key columns."""
        found = _GRAIN.search(self.sql)
        if found is None:
            raise ValueError(f"{self.name}.sql has no line `-- Grain: …`")
        return tuple(name.strip() for name in found.group(1).split(","))

    @property
    def is_daily(self) -> bool:
        """Whether the table is partitioned by day."""
        return "$days" in self.sql

    @property
    def is_incremental(self) -> bool:
        """Whether a build only processes new loads; `engagement.builds` records the loads and the fingerprint."""
        return "engagement.builds" in self.sql

    @cached_property
    def reads(self) -> frozenset[tuple[str, str]]:
        """The upstream tables (schema, name)."""
        upstream = {_OWNERS.get(name, name) for name in _NAME.findall(self.sql)} - _BOOKKEEPING
        upstream = {_main_tables().get(name, name) for name in upstream} - {f"engagement.{self.name}"}
        return frozenset((schema, name) for schema, _, name in (full.partition(".") for full in upstream))

    @cached_property
    def _code(self) -> str:
        return _TEXT_OR_REMARK.sub(r"\1", self.statements)

    def fingerprint(self, rules: Rules, timezone: str) -> str:
        """Return a hash of what decides the rows: statements, macros, and the rules and time zone that they use."""
        values = asdict(rules) | {"timezone": timezone}
        named = {name: values[name] for name in sorted({*_PARAMETER.findall(self._code)} & values.keys())}
        made_by = json.dumps([self._code, macros.DEFINITIONS, named])
        return hashlib.sha256(made_by.encode()).hexdigest()[:16]


@cache
def scripts() -> "jinja2.Environment":
    """Return the environment that renders this package's .sql and .jinja files."""
    import jinja2  # noqa: PLC0415 - `status` renders none

    return jinja2.Environment(
        loader=jinja2.PackageLoader("topo_pipeline", "engagement"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        optimized=False,  # each is rendered once, which takes less time than to optimize it
        autoescape=False,  # noqa: S701 - SQL of our own, no HTML
    )


@cache
def tables() -> dict[str, MetricTable]:
    """Return every metric table by its name, in the order of the names."""
    files = scripts()
    names = sorted(name.removesuffix(".sql") for name in files.list_templates(["sql"]))
    return {name: MetricTable(name, files.get_template(f"{name}.sql").render()) for name in names}


@cache
def _main_tables() -> dict[str, str]:
    """Return the main table of every table that a script builds, by full name."""
    return {
        f"engagement.{name}": f"engagement.{table.name}" for table in tables().values() for name in table.comments()
    }


def in_order() -> "Iterator[MetricTable]":
    """Return the tables, each after its upstream tables. The order is always the same."""
    graph = {
        name: sorted(read for schema, read in table.reads if schema == "engagement") for name, table in tables().items()
    }
    return (tables()[name] for name in TopologicalSorter(graph).static_order())
