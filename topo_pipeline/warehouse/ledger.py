"""What the ledger says of the days as they last landed."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime

from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse.landing import Load


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


def landed_whole(connection: DuckDBPyConnection, run_ids: Sequence[str], first: date, last: date) -> list[Load]:
    """The last load, whosever it is, of each day from `first` to `last` that one of these runs landed.

    Left out is a day whose last load found it still open, or could not prove it.
    """
    rows = connection.execute(
        f"""
        SELECT {", ".join(field.name for field in fields(Load))} FROM landed_days
        WHERE day BETWEEN $first AND $last AND NOT is_open AND proved
            AND day IN (SELECT day FROM topo.loads WHERE run_id IN (SELECT unnest($run_ids)))
        ORDER BY day
        """,  # noqa: S608 - the names of a class
        {"first": first, "last": last, "run_ids": list(run_ids)},
    ).fetchall()
    return [Load(*row) for row in rows]
