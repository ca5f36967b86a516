"""Column lineage, as far as the names in the .sql files show it. Other origins are left out."""

import re
from functools import cache

from topo_pipeline.engagement.tables import MetricTable, tables

# A count that has the same name in an upstream table has the same meaning there.
_COUNT = re.compile(r"(?:total|unique|replies)_\w+")
_FIRST = re.compile(r"\bif\(left_censored, NULL, (\w+)\) AS (unique_\w+)")
_TEMPLATE = re.compile(r"\btemplates\.(?!id\b)(\w+)(?: AS (\w+))?")


@cache
def firsts() -> dict[str, str]:
    """Return the column of `sequence_runs` that each unique count of `sequence_daily` counts."""
    return {unique: first for first, unique in _FIRST.findall(tables()["sequence_runs"].sql)}


def lineage(table: MetricTable) -> dict[str, set[tuple[str, str, str]]]:
    """Return the known origins (schema, table, column) of each column of the table."""
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
