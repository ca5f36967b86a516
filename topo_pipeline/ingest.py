"""From the API to the warehouse, day by day: the one place where the two meet. Knows no Dagster.

What belongs here: the order of things (read whole, then write) and what becomes of a day that can't be had.
What does not: how a window is proved (`topo_api.windows`) or a day replaced (`warehouse.landing`).
"""

import logging
import uuid
from collections.abc import Awaitable, Callable, Container, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal

import anyio.to_thread
import msgspec
from anyio.from_thread import BlockingPortal, start_blocking_portal

from topo_pipeline.ahead import Ahead
from topo_pipeline.topo_api.channels import ASKED_FOR, Labels, Messages, label
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import (
    IncompleteWindow,
    RequestRefused,
    ResponseInvalid,
    TopoError,
    TopoUnavailable,
)
from topo_pipeline.topo_api.reading import Reading, Window
from topo_pipeline.topo_api.windows import read_window
from topo_pipeline.topo_api.wire import Activity, SequenceTemplate
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import ShrinkingDay
from topo_pipeline.warehouse.landing import Load, ReadDay, land, land_templates
from topo_pipeline.warehouse.spool import Spool
from topo_pipeline.warehouse.workspace import keep_to_organization, keep_to_timezone

if TYPE_CHECKING:
    import pandas as pd

_LOG = logging.getLogger(__name__)

Clock = Callable[[], datetime]
Completeness = Literal["refuse", "warn"]

# A load that begins sooner after the day's end may miss what Topo is still recording.
CLOSING_TIME = timedelta(minutes=5)
# So many days in a row that Topo did not answer for are an outage: the days after them are not tried.
OUTAGE_DAYS = 2


@dataclass(frozen=True)
class Day:
    """A reporting day and its window, as the partitions define them: 23 to 25 hours where clocks change."""

    day: date
    window: Window


@dataclass(frozen=True)
class Refusal:
    """A day that did not land; what was landed of it before is untouched."""

    day: date
    reason: str


def check(connect: Callable[[], TopoClient], warehouse: Warehouse, *, timezone: str, clock: Clock) -> None:
    """Meet what would fail every day: a key that Topo refuses, a warehouse that can't be written or is another's.

    Raises:
        TopoError: the key is refused.
        WarehouseError: the warehouse can't be used, or is another workspace's.
    """
    with connected(connect) as (client, portal):
        begin(client, portal, warehouse, timezone, clock())


def load_days(
    connect: Callable[[], TopoClient],
    warehouse: Warehouse,
    days: Sequence[Day],
    *,
    run_id: str,
    clock: Clock,
    timezone: str,
    completeness: Completeness = "refuse",
    label_channels: bool = True,
    may_shrink: Container[date] = (),
) -> Generator[Load | Refusal]:
    """Read and land `days` in turn, each in a transaction of its own; yield what became of each.

    While one is landed, the next one is read; beside one that is read in parts, it is begun with the last part.

    Args:
        connect: Makes a client.
        warehouse: Where they land.
        days: What to read, in order.
        run_id: For the ledger.
        clock: Now, aware.
        timezone: The reporting zone (IANA) in which the days are cut.
        completeness: What becomes of a day that can't be proved complete: a refusal, or a load with `proved` False.
        label_channels: Whether to ask for the channels of messages whose payloads tell none.
        may_shrink: Days of which a reload may take away more than half.

    Raises:
        WarehouseError: the warehouse can't be used, or is another workspace's; the days yielded before are landed.
    """
    if not days:
        return
    read = partial(_read_day, completeness=completeness, label_channels=label_channels)
    with connected(connect) as (client, portal):
        outage = _outage_at_once(client, portal, warehouse, timezone, clock())
        with Ahead[Day, ReadDay | TopoError](
            portal, lambda day, spool, go_on: _try(read(client, day, spool, clock(), go_on))
        ) as ahead:
            for day, next_day in zip(days, [*days[1:], None], strict=True):
                if _is_over(outage):
                    yield Refusal(day.day, str(outage[-1]))
                    continue
                with ahead.reading(day, then=next_day) as reading:
                    _note(outage, reading)
                    if outage:
                        ahead.give_up()  # what was begun beside it has met the same outage
                    outcome = _land(warehouse, day.day, reading, run_id, clock(), may_shrink=day.day in may_shrink)
                yield outcome


def _land(
    warehouse: Warehouse, day: date, reading: ReadDay | TopoError, run_id: str, now: datetime, *, may_shrink: bool
) -> Load | Refusal:
    if isinstance(reading, TopoError):
        return Refusal(day, str(reading))
    try:
        with warehouse.transaction(beside=reading.activities) as connection:
            return land(connection, reading, run_id=run_id, now=now, may_shrink=may_shrink)
    except ShrinkingDay as error:
        return Refusal(day, str(error))


def _outage_at_once(
    client: TopoClient, portal: BlockingPortal, warehouse: Warehouse, timezone: str, now: datetime
) -> list[TopoError]:
    """Begin; what Topo says against that is said of every day."""
    try:
        begin(client, portal, warehouse, timezone, now)
    except TopoError as error:
        return [error] * OUTAGE_DAYS
    return []


def begin(client: TopoClient, portal: BlockingPortal, warehouse: Warehouse, timezone: str, now: datetime) -> None:
    """Before any activity is asked for: the warehouse can be written, the key is accepted, both are of one workspace.

    Where Topo does not say whose key it is, the organization is known from the activities.
    """
    with warehouse.transaction() as connection:
        keep_to_timezone(connection, timezone, now=now)
    me = portal.call(client.me)
    organization_id = _uuid(me.organization_id) if me else None
    if organization_id:
        with warehouse.transaction() as connection:
            keep_to_organization(connection, organization_id)


async def _try(read: Awaitable[ReadDay]) -> ReadDay | TopoError:
    try:
        return await read
    except (IncompleteWindow, RequestRefused, ResponseInvalid, TopoUnavailable) as error:
        return error


async def _read_day(
    client: TopoClient,
    day: Day,
    spool: Spool,
    started_at: datetime,
    go_on: Callable[[], None],
    *,
    completeness: Completeness,
    label_channels: bool,
) -> ReadDay:
    """A day as far as it can be read by now, ready to land; `go_on` is called once the next may be begun."""
    window = day.window.readable(started_at)
    into = _Into(spool, window, go_on)
    try:
        reading, proved = await read_window(client, window, keeper=into), True
    except IncompleteWindow as error:
        if completeness == "refuse":
            raise
        _LOG.warning("Landed unproved: %s", error)
        reading, proved = error.reading, False
    labels = await _labels(client, reading, into) if label_channels else Labels({}, 0)
    go_on()
    return ReadDay(
        day=day.day,
        asked_after=reading.asked_after,
        asked_before=reading.asked_before,
        is_open=started_at < day.window.end + CLOSING_TIME,
        proved=proved,
        api_total_count=reading.total_count,
        requests=reading.requests + labels.requests,
        started_at=started_at,
        activities=spool,
        channels=labels.channels,
        rejects=reject_frame(reading),
    )


class _Into:
    """A keeper that lets the activities of a window go to a spool, while Topo is asked for more."""

    def __init__(self, spool: Spool, window: Window, on_last_part: Callable[[], None]) -> None:
        self.on_last_part = on_last_part
        self._spool = spool
        self._add = spool.adder()
        self._window = window
        self._overlap: list[Activity] = []

    async def keep(self, activities: Sequence[Activity]) -> None:
        start, end = self._window.start, self._window.end
        within = [activity for activity in activities if start <= activity.created_at < end]
        if len(within) < len(activities):
            self._overlap += [activity for activity in activities if activity.created_at not in self._window]
        if within:
            await anyio.to_thread.run_sync(self._add, activity_frame(within))

    def start_again(self) -> None:
        self._overlap.clear()
        self._spool.clear()
        self._add = self._spool.adder()

    def messages(self) -> Messages:
        unlabelled = self._spool.unlabelled(ASKED_FOR)
        return Messages(unlabelled, self._spool.messages(activity_frame(self._overlap)) if unlabelled else set())


async def _labels(client: TopoClient, reading: Reading, into: _Into) -> Labels:
    messages = await anyio.to_thread.run_sync(into.messages)
    try:
        return await label(client, reading, messages)
    except (RequestRefused, ResponseInvalid) as error:  # the day is had without; if Topo is down, nothing is
        _LOG.warning("Going on without the channels that payloads don't tell: %s", error)
        return Labels({}, 0)


def load_templates(connect: Callable[[], TopoClient], warehouse: Warehouse, *, clock: Clock) -> int | None:
    """Read and land the names of the sequences; names that are not read stay as they are.

    Returns:
        How many sequences the warehouse knows now; None where no names could be read.

    Raises:
        TopoError: the key is refused.
        WarehouseError: the warehouse can't be used.
    """
    import pandas as pd  # noqa: PLC0415 - as below

    warehouse.prepare()
    with connected(connect) as (client, portal):
        templates = portal.call(client.sequence_templates)
    if templates is None:
        return None
    columns = SequenceTemplate.__struct_fields__
    frame = pd.DataFrame([msgspec.structs.astuple(template) for template in templates], columns=columns, dtype=object)
    with warehouse.transaction() as connection:
        return land_templates(connection, frame, now=clock())


@contextmanager
def connected(connect: Callable[[], TopoClient]) -> Iterator[tuple[TopoClient, BlockingPortal]]:
    """Yield an open client, and the way to call it: its connections are kept from day to day.

    It lives in a thread of its own. A signal is raised in the main thread, and in the midst of asyncio it could be
    taken for a fault of the connection and be lost.
    """
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(connect()) as client:
        yield client, portal


def _uuid(text: str | None) -> uuid.UUID | None:
    """An id that is none can't be held against the payloads'."""
    try:
        return uuid.UUID(text)
    except (TypeError, ValueError):
        return None


def _note(outage: list[TopoError], reading: ReadDay | TopoError) -> None:
    """Add an answer that was not to be had; any other ends the outage."""
    if isinstance(reading, TopoError) and not isinstance(reading, IncompleteWindow):
        outage.append(reading)
    else:
        outage.clear()


def _is_over(outage: list[TopoError]) -> bool:
    """Whether to stop asking: a refused request is refused again, and Topo that is down stays down for a while."""
    return len(outage) >= OUTAGE_DAYS or any(isinstance(error, RequestRefused) for error in outage)


def activity_frame(activities: Sequence[Activity]) -> "pd.DataFrame":
    """Activities as a spool takes them."""
    import pandas as pd  # noqa: PLC0415 - loading the definitions needs no frames

    return pd.DataFrame(
        {
            "id": pd.Series([activity.id for activity in activities], dtype=object),
            "created_at": pd.to_datetime([activity.created_at for activity in activities], utc=True),
            "payload": pd.Series([activity.payload for activity in activities], dtype=object),
        }
    )


def reject_frame(reading: Reading) -> "pd.DataFrame":
    """The rejects of a reading as the warehouse takes them."""
    import pandas as pd  # noqa: PLC0415 - as above

    rejects = reading.rejects
    return pd.DataFrame({"raw": [r.raw for r in rejects], "reason": [r.reason for r in rejects]}, dtype=object)
