"""Whether Topo counts by now what it counted when the last days landed: one small request a day."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from topo_pipeline.ingest import Clock, begin, connected
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.counting import count
from topo_pipeline.topo_api.wire import ActivityQuery
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.ledger import Counted, closed_days

# No day is asked for that was read so lately.
LATELY = timedelta(hours=12)


@dataclass(frozen=True)
class Comparison:
    """How many days were asked for, and by how much Topo's count differs from that of the load where it does."""

    asked: int
    differences: dict[date, int]


def compare_counts(
    connect: Callable[[], TopoClient], warehouse: Warehouse, first: date, last: date, *, clock: Clock, timezone: str
) -> Comparison:
    """Ask Topo for the counts of the closed days from `first` to `last`, over the very bounds of their loads.

    Raises:
        TopoError: the key is refused, or Topo can't be reached.
        WarehouseError: there is no warehouse yet, it can't be used, or is another workspace's.
    """
    with warehouse.reader() as connection:
        landed = closed_days(connection, first, last, begun_before=clock() - LATELY)
    if not landed:
        return Comparison(0, {})
    with connected(connect) as (client, portal):
        begin(client, portal, warehouse, timezone, clock())
        counts = {day: portal.call(_count, client, day) for day in landed}
    return Comparison(len(landed), {day.day: now - day.count for day, now in counts.items() if now != day.count})


async def _count(client: TopoClient, day: Counted) -> int:
    return await count(client, ActivityQuery(created_at_after=day.after, created_at_before=day.before), day.count)
