"""What the ledger says of the days as they last landed."""

from dataclasses import dataclass
from datetime import date, datetime

from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Counted:
    """A day, the bounds (exclusive) between which it was asked for, and Topo's count between them then."""

    day: date
    after: datetime
    before: datetime
    count: int


def closed_days(connection: DuckDBPyConnection, first: date, last: date, *, begun_before: datetime) -> list[Counted]:
    """The days from `first` to `last`, both included, that landed closed by a load that began before an instant."""
    rows = connection.execute(
        """
        SELECT day, asked_after, asked_before, api_total_count FROM landed_days
        WHERE day BETWEEN $first AND $last AND NOT is_open AND started_at < $begun_before
        ORDER BY day
        """,
        {"first": first, "last": last, "begun_before": begun_before},
    ).fetchall()
    return [Counted(*row) for row in rows]
