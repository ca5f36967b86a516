"""Load days from the API into the warehouse.

Each day is read completely before it is written, and a day that can't be read is refused. Proving a window belongs in
`topo_api.windows`, replacing a day in `warehouse.landing`.
"""

import asyncio
import logging
from collections.abc import Callable, Container, Generator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Literal

import anyio.to_thread

from topo_pipeline.common.retries import retry_subject
from topo_pipeline.days import CLOSING_TIME, Clock, Day, Window
from topo_pipeline.ingest.first_contact import check_after_the_first_day, is_first_contact
from topo_pipeline.ingest.frames import activity_frame, reject_frame
from topo_pipeline.ingest.prefetch import Prefetch
from topo_pipeline.ingest.session import OUTAGE_ERRORS, Outage, begin, connected, is_outage
from topo_pipeline.topo_api.channels import TYPES_WITHOUT_CHANNEL, Labels, Messages, label
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import (
    IncompleteWindow,
    RequestRefused,
    ResponseInvalid,
    TimesDisagree,
    TopoError,
    UnreadableRows,
)
from topo_pipeline.topo_api.reading import Reading, too_many_unreadable
from topo_pipeline.topo_api.tally import Rows, Store
from topo_pipeline.topo_api.windows import MARGIN, Evidence, read_window
from topo_pipeline.topo_api.wire import Activity, ResponseInfo
from topo_pipeline.warehouse.buffer import Buffer
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import ShrinkingDay
from topo_pipeline.warehouse.landing import Load, ReadDay, land
from topo_pipeline.warehouse.ledger import mark_unproved

_LOG = logging.getLogger(__name__)

Completeness = Literal["refuse", "warn"]

# Differences between the clocks up to this many seconds are ignored, because Topo's time comes from a response.
CLOCK_NOISE = 2

# Adding activities to a buffer takes 3 ms in addition to the time for each, and until then each takes 0.7 kB of memory.
BUFFERED_AT_ONCE = 8_000


@dataclass(frozen=True)
class Refusal:
    """A day that did not land. Its rows in the warehouse, if any, are unchanged."""

    day: date
    reason: str
    is_outage: bool = False  # whether Topo gave no usable answer


@dataclass(frozen=True)
class UnprovedLoad(Load):
    """A load of a day that could not be proved complete, and the reason."""

    because: str


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
    """Read and land `days` in order, each in its own transaction, and yield the outcome of each.

    The next day is read while one is landed. In a new warehouse the contract check (`first_contact`) runs once, after
    the first day that had activities or could not be proved.

    Args:
        connect: Creates a client.
        warehouse: The warehouse to land in.
        days: The days to read, in order.
        run_id: Written to the ledger.
        clock: Returns now, with a time zone.
        timezone: The reporting zone (IANA) of the days.
        completeness: Whether a day that can't be proved complete is refused or landed as an `UnprovedLoad`.
        label_channels: Whether to request the channels of messages whose payload has none.
        may_shrink: Days that a reload may shrink by any number of rows.
        accept_unreadable: Days that land, as an `UnprovedLoad`, regardless of unreadable rows.
        checks_contract: Whether the contract check may run. None: only if the API is not on loopback.

    Raises:
        WarehouseError: the warehouse can't be used, or belongs to another workspace. Days yielded before have landed.
    """
    if not days:
        return
    with connected(connect) as (client, portal):
        outage = Outage()
        try:
            begin(client, portal, warehouse, timezone, clock())
        except TopoError as error:
            outage.errors += [error] * OUTAGE_ERRORS  # it affects every day
        may_check = not client.is_loopback if checks_contract is None else checks_contract
        reader = _Reader(client, clock, completeness, accept_unreadable, label_channels)
        check = partial(check_after_the_first_day, client, portal, warehouse, clock=clock)
        is_unchecked = may_check and is_first_contact(warehouse)
        lander = _Lander(warehouse, run_id, clock, completeness, may_shrink)
        with Prefetch(portal, reader.read) as prefetch:
            yield from _load(days, prefetch, lander, outage, check if is_unchecked else None)


def _load(
    days: Sequence[Day],
    prefetch: Prefetch[Day, ReadDay | TopoError],
    lander: "_Lander",
    outage: Outage,
    check_contract: Callable[[list[Window]], None] | None,
) -> Generator[Load | Refusal]:
    for day, next_day in zip(days, [*days[1:], None], strict=True):
        if outage.must_stop:
            yield Refusal(day.day, str(outage.errors[-1]), is_outage=True)
            continue
        with prefetch.reading(day) as reading:
            outage.note(reading)
            # The contract check counts its requests, so no other day is read at the same time.
            if next_day and not outage.errors and not check_contract:
                prefetch.start(next_day)
            outcome = lander.land(day.day, reading)
        yield outcome
        if check_contract and _shows_the_api(outcome, reading):
            check_contract([day.window])
            check_contract = None


@dataclass(frozen=True)
class _Lander:
    """Lands days in order. A day whose rows Topo may have returned for the day before is not proved."""

    warehouse: Warehouse
    run_id: str
    clock: Clock
    completeness: Completeness
    may_shrink: Container[date]
    doubted: dict[date, str] = field(default_factory=dict)

    def land(self, day: date, reading: ReadDay | TopoError) -> Load | Refusal:
        """Land a reading, unless it is an error or the day may not be landed."""
        doubt = self.doubted.get(day)
        if _disagrees(reading):
            self.doubted[day + timedelta(days=1)] = (
                f"Topo's time filter and its timestamps disagree on {day}, so rows of this day may be missing"
            )
        elif isinstance(reading, ReadDay) and doubt:
            reading = replace(reading, proved=False, unproved_because=doubt)
        if doubt and self.completeness == "refuse":
            return Refusal(day, doubt)
        if _disagrees(reading):
            with self.warehouse.transaction() as connection:  # their rows may be returned for this day or not at all
                mark_unproved(connection, [day - timedelta(days=1), day + timedelta(days=1)])
        if isinstance(reading, TopoError):
            return Refusal(day, _why_refused(day, reading), is_outage(reading))
        may_shrink, now = day in self.may_shrink, self.clock()
        try:
            with self.warehouse.transaction(buffer=reading.activities) as connection:
                load = land(connection, reading, run_id=self.run_id, now=now, may_shrink=may_shrink)
        except ShrinkingDay as error:
            return Refusal(day, str(error))
        return UnprovedLoad(**vars(load), because=reading.unproved_because) if reading.unproved_because else load


def _disagrees(reading: ReadDay | TopoError) -> bool:
    """Return whether Topo's time filter and its timestamps disagree on the day."""
    return reading.times_disagree if isinstance(reading, ReadDay) else isinstance(reading, TimesDisagree)


def _shows_the_api(outcome: Load | Refusal, reading: ReadDay | TopoError) -> bool:
    """Return whether a day calls for the contract check: it had activities or could not be proved."""
    return isinstance(reading, IncompleteWindow) or (isinstance(outcome, Load) and outcome.rows > 0)


def _why_refused(day: date, error: TopoError) -> str:
    if isinstance(error, UnreadableRows):
        command = f"topo-pipeline backfill {day} --accept-unreadable {day}"
        return f"{error}. To land the readable rows as an unproved day: {command}"
    return str(error)


@dataclass(frozen=True)
class _Reader:
    """Reads days, each up to the time that is readable then."""

    client: TopoClient
    clock: Clock
    completeness: Completeness
    accept_unreadable: Container[date]
    label_channels: bool
    evidence: Evidence = field(default_factory=Evidence)

    async def read(self, day: Day, buffer: Buffer) -> ReadDay | TopoError:
        """Read a day into the buffer. Return the error for which it is refused, if any."""
        retry_subject.set(str(day.day))
        try:
            return await self._read(day, buffer, self.clock())
        except TopoError as error:
            if isinstance(error, IncompleteWindow):
                error.reading.activities.clear()  # a refused day needs them no more
            return error

    async def _read(self, day: Day, buffer: Buffer, started_at: datetime) -> ReadDay:
        now = _earlier_now(started_at, self.client.last_response)
        window = day.window.readable(now)
        store = _DayStore(buffer, window)
        times_disagree = False
        unproved_because: str | None = None
        try:
            reading = await read_window(self.client, window, evidence=self.evidence, store=store)
            rows = reading.received + len(reading.unreadable)
            if too_many_unreadable(len(reading.unreadable), rows):
                raise UnreadableRows(reading=reading, rows=rows)
        except IncompleteWindow as error:
            is_accepted = isinstance(error, UnreadableRows) and day.day in self.accept_unreadable
            if self.completeness == "refuse" and not is_accepted:
                raise
            _LOG.warning("Landing %s unproved: %s", day.day, error)
            reading, unproved_because = error.reading, str(error)
            times_disagree = isinstance(error, TimesDisagree)
        store.waiting += reading.activities
        await store.flush()
        labels = await _labels(self.client, reading, buffer) if self.label_channels else Labels({}, 0)
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
            activities=buffer,
            channels=labels.channels,
            rejects=reject_frame(reading),
        )


@dataclass
class _DayStore(Store):
    """Moves the activities of a long day into its buffer, except those that an adjacent day may have received too."""

    buffer: Buffer
    window: Window
    waiting: list[Activity] = field(default_factory=list)

    def clear(self) -> None:
        self.waiting.clear()
        self.buffer.clear()

    async def take(self, rows: Rows) -> None:
        self.waiting += rows.take(self.window.start + MARGIN, self.window.end - MARGIN)
        if len(self.waiting) >= BUFFERED_AT_ONCE:
            await self.flush()

    async def flush(self) -> None:
        """Add the waiting activities to the buffer."""
        frame, self.waiting = activity_frame(self.waiting), []
        adding = asyncio.ensure_future(anyio.to_thread.run_sync(self.buffer.add, frame))
        try:
            await asyncio.shield(adding)
        finally:  # if cancelled, the thread still adds, and the buffer is for another day next
            await asyncio.wait([adding])


def _earlier_now(now: datetime, response: ResponseInfo | None) -> datetime:
    """Return now by the earlier of two clocks: this machine's and, if known, Topo's."""
    ahead = (response.clock_ahead if response else None) or 0
    return now - timedelta(seconds=ahead) if ahead > CLOCK_NOISE else now


async def _labels(client: TopoClient, reading: Reading, buffer: Buffer) -> Labels:
    def messages() -> Messages:
        unlabelled = buffer.unlabelled(TYPES_WITHOUT_CHANNEL)
        return Messages(unlabelled, buffer.messages(activity_frame(reading.overlap)) if unlabelled else set())

    found = await anyio.to_thread.run_sync(messages)
    try:
        return await label(client, reading, found)
    except (RequestRefused, ResponseInvalid) as error:  # the day can land without channels
        _LOG.warning("Continuing without the channels of messages whose payload has none: %s", error)
        return Labels({}, 0)
