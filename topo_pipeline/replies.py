"""Replies change after their day was read: a category is filled in later or relabelled, a reply comes late or goes.

What belongs here: which days to read again for that. What does not: how a day is read (`ingest`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date

from topo_pipeline.ingest import Clock, Day, connected
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.reading import Window
from topo_pipeline.topo_api.windows import read_window
from topo_pipeline.topo_api.wire import EventType
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.replies import Version, landable, landed_replies

# A run's reply counts for 30 days after its first message, and its category may come some days later.
REPLY_DAYS = 35


def days_with_other_replies(
    connect: Callable[[], TopoClient], warehouse: Warehouse, days: Sequence[Day], *, clock: Clock
) -> list[Day]:
    """Read the replies of `days` (contiguous, in order) as one proved window; return the days to read again.

    Raises:
        TopoError: the replies can't be read, or not be proved complete.
        WarehouseError: there is no warehouse yet, or it can't be read.
    """
    if not days:
        return []
    with warehouse.reader() as connection:
        landed = landed_replies(connection, [day.day for day in days])
    if not landed:
        return []
    window = Window(days[0].window.start, days[-1].window.end).readable(clock())
    with connected(connect) as (client, portal):
        reading = portal.call(lambda: read_window(client, window, event_type=EventType.REPLIED))
    with warehouse.reader() as connection:
        shown = landable(connection, [(reply.id, reply.created_at, reply.payload) for reply in reading.activities])
    return differing(days, landed, shown)


def differing(days: Iterable[Day], landed: Mapping[date, set[Version]], shown: Iterable[Version]) -> list[Day]:
    """The landed days whose replies are not what Topo shows now: one more, one less or another version of one."""
    versions = list(shown)
    return [
        day
        for day in days
        if day.day in landed and landed[day.day] != {version for version in versions if version[1] in day.window}
    ]
