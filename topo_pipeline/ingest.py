"""From the API to the warehouse, day by day: the one place where the two meet. Knows no Dagster.

What belongs here: the order of things (read whole, then write) and what becomes of a day that can't be had.
What does not: how a window is proved (`topo_api.windows`) or a day replaced (`warehouse.landing`).
"""

import logging
import uuid
from collections.abc import Awaitable, Callable, Container, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal

import anyio.to_thread
import msgspec
from anyio.from_thread import BlockingPortal, start_blocking_portal

from topo_pipeline.ahead import Ahead
from topo_pipeline.first_contact import check_after_the_first_day, is_first_contact
from topo_pipeline.topo_api.channels import ASKED_FOR, Labels, Messages, label
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import (
    ClocksApart,
    EchoMissing,
    IncompleteWindow,
    LimitExceeded,
    RequestRefused,
    ResponseInvalid,
    TimesDisagree,
    TopoError,
    TopoUnavailable,
    UnreadableRows,
)
from topo_pipeline.topo_api.reading import Reading, Window, too_many_unreadable
from topo_pipeline.topo_api.windows import Evidence, read_window
from topo_pipeline.topo_api.wire import Activity, Heard, SequenceTemplate
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import ShrinkingDay
from topo_pipeline.warehouse.landing import Load, ReadDay, land, land_templates
from topo_pipeline.warehouse.ledger import call_unproved
from topo_pipeline.warehouse.spool import Spool
from topo_pipeline.warehouse.workspace import keep_to_organization, keep_to_timezone

if TYPE_CHECKING:
    import pandas as pd

_LOG = logging.getLogger(__name__)

Clock = Callable[[], datetime]
Completeness = Literal["refuse", "warn"]

# A load that begins sooner after the day's end may miss what Topo is still recording.
CLOSING_TIME = timedelta(minutes=5)
# Seconds by which clocks may seem apart because Topo's is read from an answer; and by which they may not be apart.
CLOCK_NOISE, CLOCKS_APART = 2, 15 * 60
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


@dataclass(frozen=True)
class UnprovedLoad(Load):
    """A load of a day that could not be proved complete, and why."""

    because: str


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
    accept_unreadable: Container[date] = (),
    checks_contract: bool | None = None,
) -> Generator[Load | Refusal]:
    """Read and land `days` in turn, each in a transaction of its own; yield what became of each.

    While one is landed, the next one is read; beside one that is read in parts, it is begun with the last part.
    After the first day of a new warehouse that had activities, or was refused because it could not be proved, the
    contract check runs (`first_contact`).

    Args:
        connect: Makes a client.
        warehouse: Where they land.
        days: What to read, in order.
        run_id: For the ledger.
        clock: Now, aware.
        timezone: The reporting zone (IANA) in which the days are cut.
        completeness: What becomes of a day that can't be proved complete: a refusal, or an `UnprovedLoad`.
        label_channels: Whether to ask for the channels of messages whose payloads tell none.
        may_shrink: Days of which a reload may remove any number of rows.
        accept_unreadable: Days that land, as an `UnprovedLoad`, however many of their rows can't be read.
        checks_contract: Whether the first day of a new warehouse is followed by the contract check. None: if the API
            is not on this machine.

    Raises:
        WarehouseError: the warehouse can't be used, or is another workspace's; the days yielded before are landed.
    """
    if not days:
        return
    read = partial(
        _read_day,
        evidence=Evidence(),
        completeness=completeness,
        accept_unreadable=accept_unreadable,
        label_channels=label_channels,
    )
    with connected(connect) as (client, portal):
        outage = _outage_at_once(client, portal, warehouse, timezone, clock())
        doubted: dict[date, str] = {}  # days whose rows may be among those of the day before
        may_check = not client.is_loopback if checks_contract is None else checks_contract
        is_unchecked = may_check and is_first_contact(warehouse)
        with Ahead[Day, ReadDay | TopoError](
            portal, lambda day, spool, go_on: _try(read(client, day, spool, clock(), go_on))
        ) as ahead:
            for day, next_day in zip(days, [*days[1:], None], strict=True):
                if _is_over(outage):
                    yield Refusal(day.day, str(outage[-1]))
                    continue
                # The check counts its requests: no other day is read at the same time.
                with ahead.reading(day, then=None if is_unchecked else next_day) as read_:
                    reading = read_
                    _note(outage, reading)
                    if outage:
                        ahead.give_up()  # what was begun beside it has met the same outage
                    doubt = doubted.get(day.day)
                    if _disagrees(reading):
                        doubted[day.day + timedelta(days=1)] = f"the times of {day.day} disagree with Topo's filter"
                    elif isinstance(reading, ReadDay) and doubt:
                        reading = replace(reading, proved=False, unproved_because=doubt)
                    if doubt and completeness == "refuse":
                        outcome: Load | Refusal = Refusal(day.day, f"{doubt}: its rows may be among them")
                    else:
                        outcome = _land(warehouse, day.day, reading, run_id, clock(), may_shrink=day.day in may_shrink)
                yield outcome
                if is_unchecked and _shows_the_api(outcome, reading):
                    is_unchecked = False
                    check_after_the_first_day(client, portal, warehouse, [day.window], clock)


def _land(
    warehouse: Warehouse, day: date, reading: ReadDay | TopoError, run_id: str, now: datetime, *, may_shrink: bool
) -> Load | Refusal:
    if _disagrees(reading):
        with warehouse.transaction() as connection:  # rows of theirs may be in this day, or in none
            call_unproved(connection, [day - timedelta(days=1), day + timedelta(days=1)])
    if isinstance(reading, TopoError):
        return Refusal(day, _why_refused(day, reading))
    try:
        with warehouse.transaction(beside=reading.activities) as connection:
            load = land(connection, reading, run_id=run_id, now=now, may_shrink=may_shrink)
    except ShrinkingDay as error:
        return Refusal(day, str(error))
    return UnprovedLoad(**vars(load), because=reading.unproved_because) if reading.unproved_because else load


def _disagrees(reading: ReadDay | TopoError) -> bool:
    """Whether Topo's time filter and its timestamps were found to disagree."""
    return reading.times_disagree if isinstance(reading, ReadDay) else isinstance(reading, TimesDisagree)


def _shows_the_api(outcome: Load | Refusal, reading: ReadDay | TopoError) -> bool:
    """Whether a day had activities; one that could not be proved needs the contract check most."""
    return isinstance(reading, IncompleteWindow) or (isinstance(outcome, Load) and outcome.rows > 0)


def _why_refused(day: date, error: TopoError) -> str:
    if not isinstance(error, UnreadableRows):
        return str(error)
    return (
        f"{error}. To land the rows that can be read, not proved complete:"
        f" topo-pipeline backfill {day} {day} --accept-unreadable {day}"
    )


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
    """Check, before any activity is asked for, what would fail every day.

    Where Topo does not say whose key it is, the organization is taken from the activities.

    Raises:
        TopoError: the key is refused, or Topo's clock and this machine's are far apart.
        WarehouseError: the warehouse can't be written, or is another workspace's.
    """
    with warehouse.transaction() as connection:
        keep_to_timezone(connection, timezone, now=now)
    me = portal.call(client.me)
    _compare_clocks(client.heard, now)
    organization_id = _uuid(me.organization_id) if me else None
    if organization_id:
        with warehouse.transaction() as connection:
            keep_to_organization(connection, organization_id)


def _compare_clocks(heard: Heard | None, now: datetime) -> None:
    if heard is None or heard.clock_ahead is None or abs(heard.clock_ahead) < CLOCKS_APART:
        return
    ours, theirs = (f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" for moment in (now, heard.answered_at or now))
    raise ClocksApart(f"this machine's clock says {ours}, Topo's {theirs}")


async def _try(read: Awaitable[ReadDay]) -> ReadDay | TopoError:
    try:
        return await read
    except (IncompleteWindow, LimitExceeded, RequestRefused, ResponseInvalid, TopoUnavailable) as error:
        return error


async def _read_day(
    client: TopoClient,
    day: Day,
    spool: Spool,
    started_at: datetime,
    go_on: Callable[[], None],
    *,
    evidence: Evidence,
    completeness: Completeness,
    accept_unreadable: Container[date],
    label_channels: bool,
) -> ReadDay:
    """A day as far as it can be read by now, ready to land; `go_on` is called once the next may be begun."""
    now = _cautious(started_at, client.heard)
    window = day.window.readable(now)
    into = _Into(spool, window, go_on)
    times_disagree = False
    try:
        reading, unproved_because = await read_window(client, window, keeper=into, evidence=evidence), None
        _refuse_unreadable(reading)
    except IncompleteWindow as error:
        is_accepted = isinstance(error, UnreadableRows) and day.day in accept_unreadable
        if completeness == "refuse" and not is_accepted:
            raise
        _LOG.warning("Landed unproved: %s", error)
        reading, unproved_because = error.reading, str(error)
        times_disagree = isinstance(error, TimesDisagree)
    labels = await _labels(client, reading, into) if label_channels else Labels({}, 0)
    go_on()
    return ReadDay(
        day=day.day,
        asked_after=reading.asked_after,
        asked_before=reading.asked_before,
        is_open=min(now, reading.as_of or now) < day.window.end + CLOSING_TIME,
        proved=unproved_because is None,
        unproved_because=unproved_because,
        api_total_count=reading.total_count,
        count_capped=reading.count_capped,
        times_disagree=times_disagree,
        requests=reading.requests + labels.requests,
        started_at=started_at,
        activities=spool,
        channels=labels.channels,
        rejects=reject_frame(reading),
    )


def _cautious(now: datetime, heard: Heard | None) -> datetime:
    """Now by the more cautious of two clocks: this machine's, and Topo's as far as it is known."""
    ahead = (heard.clock_ahead if heard else None) or 0
    return now - timedelta(seconds=ahead) if ahead > CLOCK_NOISE else now


def _refuse_unreadable(reading: Reading) -> None:
    """Refuse a reading of which too many rows can't be read.

    Raises:
        UnreadableRows: there are too many.
    """
    unreadable, rows = len(reading.unreadable), reading.received + len(reading.unreadable)
    if too_many_unreadable(unreadable, rows):
        raise UnreadableRows(reading=reading, rows=rows)


class _Into:
    """A keeper that lets the activities of a window go to a spool, while Topo is asked for more."""

    def __init__(self, spool: Spool, window: Window, on_last_part: Callable[[], None]) -> None:
        self.on_last_part = on_last_part
        self._spool = spool
        self._window = window
        self._overlap: list[Activity] = []

    async def keep(self, activities: Sequence[Activity]) -> None:
        start, end = self._window.start, self._window.end
        within = [activity for activity in activities if start <= activity.created_at < end]
        if len(within) < len(activities):
            self._overlap += [activity for activity in activities if activity.created_at not in self._window]
        if within:
            await anyio.to_thread.run_sync(self._spool.add, activity_frame(within))

    def start_again(self) -> None:
        self._overlap.clear()
        self._spool.clear()

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
    if isinstance(reading, EchoMissing) or (
        isinstance(reading, TopoError) and not isinstance(reading, IncompleteWindow)
    ):
        outage.append(reading)
    else:
        outage.clear()


def _is_over(outage: list[TopoError]) -> bool:
    """Whether to stop asking: what is true of every day stays true, and Topo that is down stays down for a while."""
    return len(outage) >= OUTAGE_DAYS or any(isinstance(error, RequestRefused | EchoMissing) for error in outage)


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
    columns = {name: [getattr(reject, name) for reject in rejects] for name in ("raw", "reason", "id")}
    return pd.DataFrame(columns, dtype=object)
