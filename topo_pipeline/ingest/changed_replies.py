"""Find landed days whose replies have changed: a category was set or relabelled, a reply was added or removed.

This module only selects the days to read again. Reading a day belongs in `ingest`.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date

from topo_pipeline.days import Clock, Day, Window
from topo_pipeline.ingest.frames import activity_frame, reject_frame
from topo_pipeline.ingest.loading import Completeness
from topo_pipeline.ingest.session import begin, connected
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import IncompleteWindow
from topo_pipeline.topo_api.reading import Reading
from topo_pipeline.topo_api.windows import read_window
from topo_pipeline.topo_api.wire import EventType
from topo_pipeline.warehouse.buffer import Buffer
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.replies import Version, landed_replies, replies_among

_LOG = logging.getLogger(__name__)


def days_with_changed_replies(
    connect: Callable[[], TopoClient],
    warehouse: Warehouse,
    days: Sequence[Day],
    *,
    clock: Clock,
    timezone: str,
    completeness: Completeness = "refuse",
) -> list[Day]:
    """Read the replies of `days` (contiguous, in order) as one proved window; return the days to read again.

    Raises:
        TopoError: the replies can't be read, or can't be proved complete and `completeness` is "refuse".
        WarehouseError: the warehouse does not exist, can't be used, or belongs to another workspace.
    """
    with warehouse.reader() as connection:
        landed = landed_replies(connection, [day.day for day in days])
    if not landed:
        return []
    window = Window(days[0].window.start, days[-1].window.end).readable(clock())
    with connected(connect) as (client, portal):
        begin(client, portal, warehouse, timezone, clock())
        reading, is_whole = portal.call(_read, client, window, completeness)
    with Buffer() as buffer:
        buffer.add(activity_frame(reading.activities))
        with warehouse.reader(buffer=buffer):
            shown = replies_among(buffer, reject_frame(reading))
    return differing(days, landed, shown, is_whole=is_whole)


async def _read(client: TopoClient, window: Window, completeness: Completeness) -> tuple[Reading, bool]:
    try:
        reading = await read_window(client, window, event_type=EventType.REPLIED)
    except IncompleteWindow as error:
        if completeness == "refuse":
            raise
        _LOG.warning("Replies are not proved complete, so missing ones are not taken as removed: %s", error)
        return error.reading, False
    return reading, not reading.unreadable


def differing(
    days: Iterable[Day], landed: Mapping[date, set[Version]], shown: Iterable[Version], *, is_whole: bool = True
) -> list[Day]:
    """Return the landed days whose replies differ from the ones Topo shows now: one added, removed or changed.

    Unless `is_whole`, a missing reply is ignored, because it may not have been read.
    """
    versions = list(shown)

    def differs(day: Day) -> bool:
        now = {version for version in versions if version[1] in day.window}
        return now != landed[day.day] if is_whole else not now <= landed[day.day]

    return [day for day in days if day.day in landed and differs(day)]
