"""Compare Topo's current counts with those of the landed days, with one small request a day."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from topo_pipeline.ingest import Clock, begin, connected
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.counting import count
from topo_pipeline.topo_api.wire import ActivityQuery
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.ledger import CountedDay, closed_days

# Days read more recently than this are not counted.
RECENT = timedelta(hours=12)


@dataclass(frozen=True)
class Comparison:
    """The number of days counted, and for days that differ, Topo's count minus the count of the load."""

    asked: int
    differences: dict[date, int]


def compare_counts(
    connect: Callable[[], TopoClient], warehouse: Warehouse, first: date, last: date, *, clock: Clock, timezone: str
) -> Comparison:
    """Count the closed days from `first` to `last` again, over the same bounds as their loads.

    Raises:
        TopoError: the key is refused, or Topo can't be reached.
        WarehouseError: the warehouse does not exist, can't be used, or belongs to another workspace.
    """
    with warehouse.reader() as connection:
        landed = closed_days(connection, first, last, begun_before=clock() - RECENT)
    if not landed:
        return Comparison(0, {})
    with connected(connect) as (client, portal):
        begin(client, portal, warehouse, timezone, clock())
        counts = {day: portal.call(_count, client, day) for day in landed}
    return Comparison(len(landed), {day.day: now - day.count for day, now in counts.items() if now != day.count})


async def _count(client: TopoClient, day: CountedDay) -> int:
    return await count(client, ActivityQuery(created_at_after=day.after, created_at_before=day.before), day.count)
