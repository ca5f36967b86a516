"""What to do this week: the findings in the words of the report, for the command line and Dagster."""

from typing import TYPE_CHECKING

from topo_pipeline.engagement.rules import Rules
from topo_pipeline.report import findings, queries, wording
from topo_pipeline.report.formats import labels

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def advice(connection: "DuckDBPyConnection", rules: Rules) -> tuple[wording.Said, ...] | None:
    """Return what the report has under "Do this week". None while some of the tables are missing."""
    if queries.missing_tables(connection):
        return None
    names = labels(queries.names(connection))
    return tuple(wording.findings(findings.find(connection, rules), names, rules)[: wording.TO_DO])
