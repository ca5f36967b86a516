"""Previews of metric tables for their pages in Dagster: a few rows, and numbers to plot over builds.

Previews contain counts and names of sequences, never a contact or a sequence run, because Dagster keeps its records
when a person is erased. A preview reads its own table and the names of sequences. A table without an entry in `looks`
shows only its columns and its row count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from topo_pipeline.common.text import in_markdown, percent, rate_with_interval
from topo_pipeline.engagement import macros
from topo_pipeline.engagement.rules import Rules
from topo_pipeline.report import markdown
from topo_pipeline.report.looks import LOOKS, Look

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ROWS = 7  # in a preview


@dataclass(frozen=True)
class Seen:
    """The data of a table's preview: rows to show and numbers to plot."""

    look: Look
    rows: pd.DataFrame
    numbers: pd.DataFrame

    def by_day(self) -> dict[date, dict[Any, float]]:
        """Return the numbers of each day."""
        rows = self.numbers.drop(columns="day").to_dict("records")
        return dict(zip(self.numbers["day"].dt.date, rows, strict=True))

    def totals(self) -> dict[str, float]:
        """Return the numbers of the whole table, without unknown ones."""
        [row] = self.numbers.to_dict("records")
        return {str(name): value for name, value in row.items() if not pd.isna(value)}

    def preview(self) -> str:
        """Return a few rows as markdown."""
        if self.rows.empty:
            return "No rows yet."
        rows = self.rows[:: -1 if self.look.newest_first else 1].head(ROWS)
        shown = {
            heading: [_cell(column, row) for row in rows.to_dict("records")]
            for heading, column in self.look.columns.items()
        }
        return markdown.table(pd.DataFrame(shown))


def look_at(connection: "DuckDBPyConnection", table: str, rules: Rules, days: Sequence[date] = ()) -> Seen | None:
    """Read the preview of `table` in the caller's transaction. Return None for a table without a preview.

    Args:
        connection: A connection to a warehouse that has the table.
        table: Name of the table.
        rules: The evidence thresholds.
        days: For a daily table, the days whose numbers to return.
    """
    look = LOOKS.get(table)
    if look is None:
        return None
    macros.define(connection)
    values = asdict(rules) | {"days": list(days)}
    rows, numbers = (_frame(connection, statement, values) for statement in (look.rows, look.numbers))
    return Seen(look, rows, numbers)


def _frame(connection: "DuckDBPyConnection", sql: str, values: Mapping[str, Any]) -> pd.DataFrame:
    [statement] = connection.extract_statements(sql)
    return connection.execute(statement, {name: values[name] for name in statement.named_parameters}).df()


def _cell(column: str, row: Mapping[Any, Any]) -> str:
    """Format a value, a rate with its bounds. An unknown value is a dash."""
    value = row[column]
    if pd.isna(value):
        return "–"
    if isinstance(value, str):
        return in_markdown(value, markdown.LONGEST)
    if isinstance(value, datetime):
        shown = f"{value:%Y-%m-%d}"
    elif column == "rate":
        shown = rate_with_interval(value, row["low"], row["high"])
    else:
        shown = percent(value) if isinstance(value, float) else f"{value:,}"
    return markdown.unbroken(shown)
