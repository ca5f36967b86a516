"""What a backfill would read, by Topo's own count and the ledger. Changes nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from topo_pipeline.ingest import Day, connected
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.counting import count
from topo_pipeline.topo_api.repair import OVERLAP
from topo_pipeline.topo_api.wire import MAX_PAGE_SIZE, ActivityQuery
from topo_pipeline.warehouse.connection import Warehouse


@dataclass(frozen=True)
class Estimate:
    """What reading some days would come to.

    Attributes:
        new: days that are not landed yet.
        again: days that are, and would be replaced.
        activities: as many as Topo counts by now.
        requests: about so many.
        seconds: how long these take at least.
    """

    new: tuple[date, ...]
    again: tuple[date, ...]
    activities: int
    requests: int
    seconds: float


def estimate(
    connect: Callable[[], TopoClient], warehouse: Warehouse, days: Sequence[Day], *, requests_per_second: float
) -> Estimate:
    """Estimate the reading of `days`, which are in a row, by one request for them all where its count is no cap.

    Raises:
        TopoError: Topo refuses the key or can't be reached.
        WarehouseError: the warehouse is there and can't be read.
    """
    landed = _landed(warehouse) & {day.day for day in days}
    window = ActivityQuery(created_at_after=days[0].window.start - OVERLAP, created_at_before=days[-1].window.end)
    with connected(connect) as (client, portal):
        activities = portal.call(count, client, window)
    requests = len(days) + activities // MAX_PAGE_SIZE  # of each day, the last page is not full
    return Estimate(
        new=tuple(day.day for day in days if day.day not in landed),
        again=tuple(sorted(landed)),
        activities=activities,
        requests=requests,
        seconds=requests / requests_per_second,
    )


def _landed(warehouse: Warehouse) -> set[date]:
    if not warehouse.path.exists():
        return set()
    with warehouse.reader() as connection:
        return {day for (day,) in connection.execute("SELECT day FROM landed_days").fetchall()}
