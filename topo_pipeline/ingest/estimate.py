"""Estimate what a backfill would read, from Topo's count and the ledger. Changes nothing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from topo_pipeline.days import OVERLAP, Day, Window, contiguous
from topo_pipeline.ingest.session import connected
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.counting import count
from topo_pipeline.topo_api.wire import MAX_PAGE_SIZE, ActivityQuery
from topo_pipeline.warehouse.connection import Warehouse


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of reading days."""

    new: tuple[date, ...]  # days that have not landed yet
    again: tuple[date, ...]  # days that have landed and would be replaced
    activities: int  # Topo's current count
    requests: int  # the approximate number of requests
    seconds: float  # the minimum time for the requests


def estimate(
    connect: Callable[[], TopoClient], warehouse: Warehouse, days: Sequence[Day], *, requests_per_second: float
) -> Estimate:
    """Estimate the cost of reading `days` with one request for each stretch without gaps, unless Topo caps its count.

    Raises:
        TopoError: Topo rejects the key or can't be reached.
        WarehouseError: the warehouse exists and can't be read.
    """
    landed = _landed(warehouse).keys() & {day.day for day in days}
    windows = {day.day: day.window for day in days}
    with connected(connect) as (client, portal):
        activities = sum(
            portal.call(count, client, _query(windows[stretch[0]], windows[stretch[-1]]))
            for stretch in contiguous(windows)
        )
    requests = len(days) + activities // MAX_PAGE_SIZE  # the last page of each day is not full
    return Estimate(
        new=tuple(day.day for day in days if day.day not in landed),
        again=tuple(sorted(landed)),
        activities=activities,
        requests=requests,
        seconds=requests / requests_per_second,
    )


def missing_days(warehouse: Warehouse, days: Iterable[date]) -> list[date]:
    """Return those of `days` that have not landed since they ended.

    Raises:
        WarehouseError: the warehouse exists and can't be read.
    """
    landed = _landed(warehouse)
    return [day for day in days if landed.get(day, True)]


def first_landed(warehouse: Warehouse) -> date | None:
    """Return the first landed day, if there is one.

    Raises:
        WarehouseError: the warehouse exists and can't be read.
    """
    return min(_landed(warehouse), default=None)


def _query(first: Window, last: Window) -> ActivityQuery:
    return ActivityQuery(created_at_after=first.start - OVERLAP, created_at_before=last.end)


def _landed(warehouse: Warehouse) -> dict[date, bool]:
    """Return whether each landed day was still open when it was last read."""
    if not warehouse.exists():
        return {}
    with warehouse.reader() as connection:
        return dict(connection.execute("SELECT day, is_open FROM landed_days").fetchall())
