"""Read all activities of a time window and prove them complete, or raise an error.

The proof consists of four claims, checked over the requested bounds before the rows are filtered to the window:

1. As many distinct rows were received as Topo counts, and the count is not a cap (`repair`).
2. They are the rows that were requested: none shows a time more than a second outside the bounds.
3. Where two windows of a run meet, each has received the rows that the other shows in its time.
4. The filter uses the times that are shown. Once a run (`Evidence`), the seconds around a row's time are requested and
   must contain that row. Otherwise a filter in another zone could go unnoticed next to hours without activities.

Topo promises no precision. The margins cover rounding to a second: a row that the filter places up to a second earlier
or later than shown is still within them. If every time is a multiple of a coarser unit, the window is read again with
wider margins.

The meaning of a window (a day, an hour) is up to the caller.
"""

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from topo_pipeline.days import Window
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import EchoMissing, IncompleteWindow, TimesDisagree, count_comparison
from topo_pipeline.topo_api.reading import Reading
from topo_pipeline.topo_api.repair import DEPTH, Outcome, read_proved
from topo_pipeline.topo_api.resolution import FINEST, common_step, unit_of
from topo_pipeline.topo_api.tally import Rows, Tally
from topo_pipeline.topo_api.wire import Activity, ActivityQuery, EventType, Reject

ECHO = timedelta(seconds=1.5)
"""Time before and after a row's instant that an echo requests."""
MARGIN = timedelta(seconds=3)
"""Requested on both sides of a window: more than the shift an echo can miss plus a second of rounding."""

FEW = 5
"""Minimum number of rows to infer a coarser unit than the run's other times have."""
_TWO_MINUTES = 120
_PLAUSIBLE = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_DAY_IN_ANY_ZONE = timedelta(hours=38)
"""A day plus the largest offset between time zones."""


@dataclass
class Evidence:
    """Facts that one run has learned about Topo's times. Pass it from window to window.

    Attributes:
        step: Seconds that every instant so far is a multiple of. 0 before the first.
    """

    step: int = 0
    _echoed: int | None = None
    """Unit of the times in the last echo. It proves nothing about finer times."""
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _sides: dict[datetime, list[Activity]] = field(default_factory=dict)
    """For each bound between two windows, the activities near it that the first of the two readings received."""

    async def echo(self, client: TopoClient, window: Window, rows: Rows) -> tuple[str, int]:
        """Once a run, request the seconds around two rows' times, which must contain those rows.

        If the window is empty, use the latest row before its end or within the day after it. Repeat the echo once times
        turn out to be finer than those of the rows it used. Other windows wait for the result.

        Returns:
            The mismatch found, or an empty text, and the number of requests.
        """
        async with self._asking:
            self.step = math.gcd(self.step, rows.step)
            if self._echoed is not None and self._echoed <= unit_of(self.step):
                return "", 0
            edges, requests = [row for row in (rows.earliest, rows.latest) if row and row.id], 0
            if not edges:
                latest = ActivityQuery(size=1, sort_order="desc", created_at_before=window.end + _DAY_IN_ANY_ZONE)
                page = await client.activities(latest)
                edges, requests = [*page.activities], page.requests
                self.step = common_step([row.created_at for row in page.activities], self.step)
            missing, more = await self._first_missing(client, edges)
            self._echoed = unit_of(self.step) if edges and not missing else None
            return missing, requests + more

    async def compare(self, client: TopoClient, window: Window, near: Iterable[Activity]) -> tuple[str, int]:
        """Compare the rows that two adjacent windows received near the bound between them.

        A row whose time belongs to the other window must have been received there, too. If it was not, it may have been
        recorded since then. In that case an echo finds it.

        Args:
            client: The client to use.
            window: The window that was read.
            near: The activities received within a margin of its bounds, on either side.

        Returns:
            The same as `echo`.
        """
        unmatched: list[Activity] = []
        for bound, is_start in ((window.start, True), (window.end, False)):
            side = [row for row in near if abs(row.created_at - bound) <= MARGIN]
            other = self._sides.pop(bound, None)
            if other is None:
                # Windows are read in order, so only the latest bounds are needed.
                self._sides = dict([*self._sides.items(), (bound, side)][-2:])
                continue
            other_ids, side_ids = ({row.id for row in rows} for rows in (other, side))
            unmatched += [row for row in side if (row.created_at < bound) == is_start and row.id not in other_ids]
            unmatched += [row for row in other if (row.created_at >= bound) == is_start and row.id not in side_ids]
        return await self._first_missing(client, unmatched)

    async def _first_missing(self, client: TopoClient, rows: Iterable[Activity | Reject]) -> tuple[str, int]:
        requests = 0
        unit = unit_of(self.step)
        around = ECHO + timedelta(seconds=unit if unit > FINEST else 0)
        for row in {row.id: row for row in rows}.values():
            at = row.created_at
            if at is None or not _PLAUSIBLE[0] < at < _PLAUSIBLE[1]:
                continue  # a time centuries away is already outside the bounds
            outcome = await read_proved(
                client, ActivityQuery(created_at_after=at - around, created_at_before=at + around)
            )
            requests += outcome.requests
            found = outcome.tally.rows
            if row.id not in found.activities and row.id not in found.unreadable:
                return f"Topo does not return activity {row.id} for the seconds around {at.isoformat()}", requests
        return "", requests


async def read_window(
    client: TopoClient,
    window: Window,
    *,
    event_type: EventType | None = None,
    depth: int = DEPTH,
    evidence: Evidence | None = None,
) -> Reading:
    """Read every activity of `window`, and the count of an empty one.

    Args:
        client: The client to use.
        window: The window to read.
        event_type: Read only this event type, if given.
        depth: Maximum number of pages of one query. A window with more is read in parts.
        evidence: Facts from the windows read before in this run. Without it no echo is requested.

    Raises:
        IncompleteWindow: the rows received are not proved complete. Contains them.
        TimesDisagree: the rows are not the ones that were requested.
        EchoMissing: the same, and it affects every window.
        LimitExceeded: the window needs too many requests or too much time.
        TopoError: Topo refused, or could not be reached.
    """
    seen = evidence or Evidence()
    bounds = _Bounds(window, seen.step)
    outcome = await read_proved(client, bounds.query(event_type), depth)
    requests, missing = outcome.requests, ""
    if evidence and window.start < window.end:
        missing, more = await evidence.echo(client, window, outcome.tally.rows)
        requests += more
    wider = _Bounds(window, _step(outcome.tally.rows, seen))
    if wider.margin > bounds.margin and not (missing or outcome.refused):
        bounds = wider
        outcome = await read_proved(client, bounds.query(event_type), depth)
        requests += outcome.requests
    rows = outcome.tally.rows
    seen.step = math.gcd(seen.step, rows.step)
    got = len(rows)
    excess = bounds.excess(rows)
    if evidence and window.start < window.end and not (missing or excess or outcome.refused):
        apart, more = await evidence.compare(client, window, rows.activities.values())
        excess, requests = apart and f". {apart}", requests + more
    reading = _reading(bounds, outcome, requests)
    if missing or excess:
        because = ". ".join(filter(None, [f"Topo's time filter and its timestamps disagree{excess}", missing]))
        raise (EchoMissing if missing else TimesDisagree)(reading=reading, got=got, because=because)
    if outcome.refused:
        because = f"{count_comparison(reading.total_count, got)}. {_because(outcome.refused, bounds.query(event_type))}"
        raise IncompleteWindow(reading=reading, got=got, because=because, request_ids=outcome.refused.request_ids)
    return reading


def _step(rows: Rows, seen: Evidence) -> int:
    """Return the step of a window's times. A few rows may share one by chance, so the run's step is used for those."""
    return rows.step if len(rows) >= FEW else math.gcd(rows.step, seen.step)


@dataclass(frozen=True)
class _Bounds:
    """The query for a window whose times are multiples of `step` seconds. 0 if that is unknown."""

    window: Window
    step: int

    @property
    def margin(self) -> timedelta:
        # Twice the unit: the row and the echo's row may each be rounded by one.
        return MARGIN if self.step <= FINEST else MARGIN + timedelta(seconds=2 * unit_of(self.step))

    @property
    def after(self) -> datetime:
        return self.window.start - self.margin

    @property
    def before(self) -> datetime:
        return self.window.end + self.margin

    def query(self, event_type: EventType | None) -> ActivityQuery:
        return ActivityQuery(created_at_after=self.after, created_at_before=self.before, event_type=event_type)

    def excess(self, rows: Rows) -> str:
        """Describe the row furthest outside the requested bounds. Empty if there is none."""
        if rows.earliest is None or rows.latest is None:
            return ""
        first, last = rows.earliest.created_at or self.after, rows.latest.created_at or self.before
        early, late = self.after - first, last - self.before
        row, by = (rows.earliest, early) if early > late else (rows.latest, late)
        if by <= timedelta(seconds=unit_of(self.step or FINEST)):
            return ""
        at = first if early > late else last
        return f" by {_duration(by)} or more: Topo returned activity {row.id or 'without an id'} of {at.isoformat()}"


def _reading(bounds: _Bounds, outcome: Outcome, requests: int) -> Reading:
    rejects = outcome.tally.rows.rejects()
    window = bounds.window
    received = sorted(outcome.tally.rows.activities.values(), key=lambda activity: (activity.created_at, activity.id))
    return Reading(
        window=window,
        asked_after=bounds.after,
        asked_before=bounds.before,
        total_count=outcome.tally.count,
        received=len(outcome.tally.rows.activities),
        activities=[activity for activity in received if activity.created_at in window],
        overlap=[activity for activity in received if activity.created_at not in window],
        rejects=[r for r in rejects if r.created_at is None or r.created_at in window],
        requests=requests,
        count_capped=outcome.tally.capped,
        as_of=outcome.as_of,
        unreadable=[reject for reject in rejects if reject.id not in outcome.tally.rows.activities],
    )


def _because(refused: Tally, whole: ActivityQuery) -> str:
    if refused.query == whole:
        reasons = ["The window is not proved complete"]
    else:
        params = refused.query.params()
        kinds = [f"{name}={params[name]}" for name in ("resource_type", "event_type") if name in params]
        part = " ".join([f"{params['created_at_after']} to {params['created_at_before']}", *kinds])
        numbers = f"{refused.count} counted, {len(refused.rows)} received"
        reasons = [f"The part {part} is not proved complete: {numbers}"]
    if refused.unexpected_type:
        reasons.append(f"Topo's type filter returned {refused.unexpected_type}")
    if refused.capped:
        reasons.append("More rows than Topo counts can be read there")
    return ". ".join(reasons)


def _duration(time: timedelta) -> str:
    seconds = round(time.total_seconds(), 1)
    if seconds < _TWO_MINUTES:
        return f"{seconds:g} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)
