"""Which columns a column comes from, as far as the .sql files say so by name; what they don't is left out."""

import re
from functools import cache

from topo_pipeline.engagement.tables import MetricTable, tables

# A count of the same name in a table that this one is made of: the name says the same thing in every table.
_COUNT = re.compile(r"(?:total|unique)_\w+")
_FIRST = re.compile(r"\bif\(left_censored, NULL, (\w+)\) AS (unique_\w+)")
_TEMPLATE = re.compile(r"\btemplates\.(?!id\b)(\w+)(?: AS (\w+))?")


@cache
def firsts() -> dict[str, str]:
    """For each unique of `sequence_daily`, the column of `sequence_runs` that it counts."""
    return {unique: first for first, unique in _FIRST.findall(tables()["sequence_runs"].sql)}


def lineage(table: MetricTable) -> dict[str, set[tuple[str, str, str]]]:
    """The known origins (schema, table, column) of the table's columns."""
    origins: dict[str, set[tuple[str, str, str]]] = {}
    for schema, name in sorted(table.reads):
        if schema == "engagement":
            for column in filter(_COUNT.fullmatch, {*table.columns} & {*tables()[name].columns}):
                origins.setdefault(column, set()).add((schema, name, column))
    if table.name == "sequence_daily":
        for unique, first in firsts().items():
            origins.setdefault(unique, set()).add(("engagement", "sequence_runs", first))
    for column, alias in _TEMPLATE.findall(table.sql):
        if (alias or column) in table.columns:
            origins.setdefault(alias or column, set()).add(("topo", "sequence_templates", column))
    return origins
