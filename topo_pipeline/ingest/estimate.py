"""Estimate what a backfill would read, from Topo's count and the ledger. Changes nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from topo_pipeline.days import OVERLAP, Day
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
    """Estimate the cost of reading `days`, which are contiguous, with one request unless Topo caps its count.

    Raises:
        TopoError: Topo rejects the key or can't be reached.
        WarehouseError: the warehouse exists and can't be read.
    """
    landed = _landed(warehouse) & {day.day for day in days}
    window = ActivityQuery(created_at_after=days[0].window.start - OVERLAP, created_at_before=days[-1].window.end)
    with connected(connect) as (client, portal):
        activities = portal.call(count, client, window)
    requests = len(days) + activities // MAX_PAGE_SIZE  # the last page of each day is not full
    return Estimate(
        new=tuple(day.day for day in days if day.day not in landed),
        again=tuple(sorted(landed)),
        activities=activities,
        requests=requests,
        seconds=requests / requests_per_second,
    )


def _landed(warehouse: Warehouse) -> set[date]:
    if not warehouse.exists():
        return set()
    with warehouse.reader() as connection:
        return {day for (day,) in connection.execute("SELECT day FROM landed_days").fetchall()}
