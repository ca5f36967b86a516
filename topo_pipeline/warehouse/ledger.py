"""Read the ledger (`topo.loads`), mostly the last load of each day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from duckdb import DuckDBPyConnection

from topo_pipeline.days import days_between
from topo_pipeline.warehouse.landing import LEDGER_COLUMNS, Load


@dataclass(frozen=True)
class CountedDay:
    """A day, the exclusive bounds of its requests, and Topo's count between them at that time."""

    day: date
    after: datetime
    before: datetime
    count: int


@dataclass(frozen=True)
class LedgerStatus:
    """Which days have landed, and in what state."""

    first: date | None  # the first landed day; None if there is none
    complete: date | None  # the last day that was read after its end; None if there is none
    days: int  # the number of landed days
    activities: int  # the number of activities in them
    read_at: datetime | None  # when the most recent load finished (UTC)
    missing: tuple[date, ...]  # days from the first landed day to the last due day that never landed
    unproved: tuple[date, ...]  # landed days that could not be proved complete
    unclosed: tuple[date, ...]  # due days that were last read before their end
    unreadable: dict[date, int]  # rows that the last load could not read, for each day that has any


def ledger_status(connection: DuckDBPyConnection, due: date) -> LedgerStatus:
    """Return which days have landed. `due` is the last day that should have landed."""
    rows = connection.execute(
        "SELECT day, is_open, proved, rejects, rows, finished_at FROM landed_days ORDER BY day"
    ).fetchall()
    days = [day for day, *_ in rows]
    expected = days_between(days[0], due) if days else []
    return LedgerStatus(
        first=min(days, default=None),
        complete=max((day for day, is_open, *_ in rows if not is_open), default=None),
        days=len(days),
        activities=sum(count for *_, count, _ in rows),
        read_at=max((finished_at for *_, finished_at in rows), default=None),
        missing=tuple(sorted(set(expected) - set(days))),
        unproved=tuple(day for day, _, proved, *_ in rows if not proved),
        unclosed=tuple(day for day, is_open, *_ in rows if is_open and day <= due),
        unreadable={day: rejects for day, _, _, rejects, *_ in rows if rejects},
    )


def closed_days(connection: DuckDBPyConnection, first: date, last: date, *, begun_before: datetime) -> list[CountedDay]:
    """Return the days from `first` to `last` whose last load found them closed and began before `begun_before`."""
    rows = connection.execute(
        """
        SELECT day, asked_after, asked_before, api_total_count FROM landed_days
        WHERE day BETWEEN $first AND $last AND NOT is_open AND started_at < $begun_before
        ORDER BY day
        """,
        {"first": first, "last": last, "begun_before": begun_before},
    ).fetchall()
    return [CountedDay(*row) for row in rows]


def mark_unproved(connection: DuckDBPyConnection, days: Sequence[date]) -> None:
    """Mark the last load of each of these days, if any, as not proved."""
    connection.execute(
        "UPDATE topo.loads SET proved = false"
        " WHERE day IN (SELECT unnest($days)) AND load_id IN (SELECT load_id FROM landed_days)",
        {"days": list(days)},
    )


def last_loads(connection: DuckDBPyConnection) -> dict[date, Load]:
    """Return the last load of each landed day."""
    return {load.day: load for load in _loads(connection, "true", {})}


def load_ids(connection: DuckDBPyConnection) -> set[str]:
    """Return the ids of all loads, including those that a later load has replaced."""
    return {load_id for (load_id,) in connection.execute("SELECT load_id::VARCHAR FROM topo.loads").fetchall()}


def complete_loads(connection: DuckDBPyConnection, run_ids: Sequence[str], first: date, last: date) -> list[Load]:
    """Return the last load, by any run, of each day from `first` to `last` that one of these runs landed.

    Days whose last load found them still open, or could not prove them, are left out.
    """
    where = """
        day BETWEEN $first AND $last AND NOT is_open AND proved
        AND day IN (SELECT day FROM topo.loads WHERE run_id IN (SELECT unnest($run_ids)))
    """
    return _loads(connection, where, {"first": first, "last": last, "run_ids": list(run_ids)})


def _loads(connection: DuckDBPyConnection, where: str, values: Mapping[str, object]) -> list[Load]:
    sql = f"SELECT {', '.join(LEDGER_COLUMNS)} FROM landed_days WHERE {where} ORDER BY day"  # noqa: S608 - constants
    rows = connection.execute(sql, values).fetchall()
    return [Load(**dict(zip(LEDGER_COLUMNS, row, strict=True))) for row in rows]
