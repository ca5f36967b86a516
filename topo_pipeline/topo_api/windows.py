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
"""

import asyncio
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from topo_pipeline.days import Window
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import EchoMissing, IncompleteWindow, TimesDisagree, count_comparison
from topo_pipeline.topo_api.reading import Reading
from topo_pipeline.topo_api.repair import DEPTH, Outcome, read_proved
from topo_pipeline.topo_api.resolution import FINEST, common_step, format_duration, unit_of
from topo_pipeline.topo_api.tally import IN_MEMORY, Rows, Store, Tally
from topo_pipeline.topo_api.wire import Activity, ActivityQuery, EventType, Reject

ECHO = timedelta(seconds=1.5)
"""Time before and after a row's instant that an echo requests."""
MARGIN = timedelta(seconds=3)
"""Requested on both sides of a window: more than the shift an echo can miss plus a second of rounding."""
FEW = 5
"""Minimum number of rows to infer a coarser unit than the run's other times have."""
_PLAUSIBLE = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_DAY_IN_ANY_ZONE = timedelta(hours=38)
"""A day plus the largest offset between time zones."""


@dataclass
class Evidence:
    """Facts that one run has learned about Topo's times. Pass it from window to window."""

    step: int = 0
    """Seconds that every instant so far is a multiple of. 0 before the first."""
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

    async def compare(self, client: TopoClient, window: Window, received: Collection[Activity]) -> tuple[str, int]:
        """Compare the rows that two adjacent windows received near the bound between them.

        A row whose time belongs to the other window must have been received there, too. If it was not, it may have been
        recorded since then. In that case an echo finds it. Returns the same as `echo`.
        """
        unmatched: list[Activity] = []
        for bound, is_start in ((window.start, True), (window.end, False)):
            first, last = bound - MARGIN, bound + MARGIN
            side = [row for row in received if first <= row.created_at <= last]
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
            seconds = ActivityQuery(created_at_after=at - around, created_at_before=at + around)
            outcome = await read_proved(client, seconds)
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
    store: Store = IN_MEMORY,
) -> Reading:
    """Read every activity of `window`, and the count of an empty one.

    Args:
        client: The client to use.
        window: The window to read.
        event_type: Read only this event type, if given.
        depth: Maximum number of pages of one query. A window with more is read in parts.
        evidence: Facts from the windows read before in this run. Without it no echo is requested.
        store: Takes activities while the window is read. It must leave those up to MARGIN from the window's bounds.

    Raises:
        IncompleteWindow: the rows received are not proved complete. Contains them.
        TimesDisagree: the rows are not the ones that were requested. An EchoMissing affects every window.
        LimitExceeded: the window needs too many requests or too much time.
        TopoError: Topo refused, or could not be reached.
    """
    seen = evidence or Evidence()
    has_evidence = evidence is not None and window.start < window.end
    bounds = _Bounds(window, event_type, seen.step)
    outcome = await read_proved(client, bounds.query, depth, store)
    requests, missing = outcome.requests, ""
    if has_evidence:
        missing, more = await seen.echo(client, window, outcome.tally.rows)
        requests += more
    wider = _Bounds(window, event_type, _step(outcome.tally.rows, seen))
    if wider.margin > bounds.margin and not (missing or outcome.refused):
        bounds = wider
        outcome = await read_proved(client, bounds.query, depth, store)
        requests += outcome.requests
    rows = outcome.tally.rows
    seen.step = math.gcd(seen.step, rows.step)
    excess = bounds.excess(rows)
    if has_evidence and not (missing or excess or outcome.refused):
        apart, more = await seen.compare(client, window, rows.activities.values())
        excess, requests = apart and f". {apart}", requests + more
    reading = _reading(bounds, outcome, requests)
    if missing or excess:
        because = ". ".join(filter(None, [f"Topo's time filter and its timestamps disagree{excess}", missing]))
        raise (EchoMissing if missing else TimesDisagree)(reading=reading, because=because)
    if outcome.refused:
        raise _incomplete(reading, outcome.tally, outcome.refused)
    return reading


def _step(rows: Rows, seen: Evidence) -> int:
    """Return the step of a window's times. A few rows may share one by chance, so the run's step is used for those."""
    return rows.step if len(rows) >= FEW else math.gcd(rows.step, seen.step)


@dataclass(frozen=True)
class _Bounds:
    """The bounds requested for a window whose times are multiples of `step` seconds. 0 if that is unknown."""

    window: Window
    event_type: EventType | None
    step: int

    @property
    def margin(self) -> timedelta:
        # Twice the unit: the row and the echo's row may each be rounded by one.
        return MARGIN if self.step <= FINEST else MARGIN + timedelta(seconds=2 * unit_of(self.step))

    @property
    def query(self) -> ActivityQuery:
        after, before = self.window.start - self.margin, self.window.end + self.margin
        return ActivityQuery(created_at_after=after, created_at_before=before, event_type=self.event_type)

    def excess(self, rows: Rows) -> str:
        """Describe the row furthest outside the requested bounds. Empty if there is none."""
        if rows.earliest is None or rows.latest is None:
            return ""
        after, before = self.query.bounds
        first, last = rows.earliest.created_at or after, rows.latest.created_at or before
        early, late = after - first, last - before
        row, at, by = (rows.earliest, first, early) if early > late else (rows.latest, last, late)
        if by <= timedelta(seconds=unit_of(self.step or FINEST)):
            return ""
        which = f"activity {row.id}" if row.id else "an activity without an id"
        return f" by {format_duration(by)} or more: Topo returned {which}, dated {at.isoformat()}"


def _reading(bounds: _Bounds, outcome: Outcome, requests: int) -> Reading:
    window, rows, rejects = bounds.window, outcome.tally.rows, outcome.tally.rows.rejects()
    after, before = bounds.query.bounds
    received = sorted(rows.activities.values(), key=lambda activity: (activity.created_at, activity.id))
    return Reading(
        window=window,
        asked_after=after,
        asked_before=before,
        total_count=outcome.tally.count,
        received=len(received) + len(rows.taken),
        activities=[activity for activity in received if activity.created_at in window],
        overlap=[activity for activity in received if activity.created_at not in window],
        rejects=[reject for reject in rejects if reject.created_at is None or reject.created_at in window],
        requests=requests,
        count_capped=outcome.tally.capped,
        as_of=outcome.as_of,
        unreadable=[reject for reject in rejects if not rows.has_activity(reject.id)],
    )


def _incomplete(reading: Reading, whole: Tally, refused: Tally) -> IncompleteWindow:
    """Return the error, which names the part that is not proved."""
    got, which, numbers = len(whole.rows), "window", ""
    if refused.query != whole.query:
        params = refused.query.params()
        kinds = [f"{name}={params[name]}" for name in ("resource_type", "event_type") if name in params]
        which = " ".join(["part", params["created_at_after"], "to", params["created_at_before"], *kinds])
        numbers = f": {refused.count} counted, {len(refused.rows)} received"
    reasons = [count_comparison(reading.total_count, got), f"The {which} is not proved complete{numbers}"]
    if refused.unexpected_type:
        reasons.append(f"Topo's type filter returned {refused.unexpected_type}")
    if refused.capped:
        reasons.append("Topo's count is capped: more rows exist than it counts")
    return IncompleteWindow(reading=reading, because=". ".join(reasons), request_ids=refused.request_ids)
