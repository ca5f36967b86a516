"""A window of time → all its activities, proved complete, or an error.

Four claims make the proof, over the bounds that were asked and before anything is filtered to the window:

1. As many distinct rows were received as Topo counts, and the count is not a cap (`repair`).
2. They are the rows that were asked for: none shows a time outside the bounds by more than a second.
3. Where two windows of a run meet, each has received what the other shows of its time.
4. The filter works on the times that are shown. Once a run (`Evidence`), the seconds around the time of a row are asked
   for, which must hold that row. Else a filter in another zone could hide behind hours in which nothing happened.

Topo promises no precision. What is as fine as a second, the margins cover: a row that the filter takes for up to a
second earlier or later than it shows is still within them. Where every time is a multiple of a coarser unit, the window
is read again with wider margins.

What a window means (a day, an hour) is for the caller.
"""

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import EchoMissing, IncompleteWindow, TimesDisagree, counted
from topo_pipeline.topo_api.reading import Reading, Window
from topo_pipeline.topo_api.repair import DEPTH, Keeper, Outcome, read_proved
from topo_pipeline.topo_api.resolution import FINEST, common_step, unit_of
from topo_pipeline.topo_api.tally import Rows, Tally
from topo_pipeline.topo_api.wire import Activity, ActivityQuery, EventType, Reject

ECHO = timedelta(seconds=1.5)
"""Around the time of a row: what an echo asks for."""
MARGIN = timedelta(seconds=3)
"""Asked for on both sides of a window: more than the shift that an echo does not notice and a second of rounding."""

FEW = 5
"""Of fewer rows, no common unit of their times is concluded where others of the run are finer."""
_TWO_MINUTES = 120
_REASONABLE = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_A_DAY_OF_ANY_ZONE = timedelta(hours=38)
"""A day, and by how much zones differ."""


@dataclass
class Evidence:
    """What one run has learned about Topo's times; to be handed from window to window.

    Attributes:
        step: Seconds that every instant so far is a multiple of; 0 before the first.
    """

    step: int = 0
    _echoed: int | None = None
    """The unit of the times of the last echo: of finer times it proves nothing."""
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _sides: dict[datetime, list[Activity]] = field(default_factory=dict)
    """What the reading on one side of a bound between two windows has received near it."""

    async def echo(self, client: TopoClient, window: Window, rows: Rows) -> tuple[str, int]:
        """Once a run, ask for the seconds around the times of two rows, which must hold them.

        Where a window is empty, the latest row that is to be found before its end, or in the day after, serves. Once
        times turn out to be finer than those of the rows that were asked for, it is done again.

        Returns:
            What is wrong, if anything, and the requests it took. Windows that come meanwhile wait for the answer.
        """
        async with self._asking:
            self.step = math.gcd(self.step, rows.step)
            if self._echoed is not None and self._echoed <= unit_of(self.step):
                return "", 0
            edges, requests = [row for row in (rows.earliest, rows.latest) if row and row.id], 0
            if not edges:
                latest = ActivityQuery(size=1, sort_order="desc", created_at_before=window.end + _A_DAY_OF_ANY_ZONE)
                page = await client.activities(latest)
                edges, requests = [*page.activities], page.requests
                self.step = common_step([row.created_at for row in page.activities], self.step)
            missing, more = await self._first_missing(client, edges)
            self._echoed = unit_of(self.step) if edges and not missing else None
            return missing, requests + more

    async def compare(self, client: TopoClient, window: Window, near: list[Activity]) -> tuple[str, int]:
        """Compare what two windows that meet have received near the bound between them.

        A row that shows a time of the other one must have been received there, too. If it was not, it may have come
        since: then an echo finds it.

        Args:
            client: Whom to ask.
            window: What was read.
            near: The activities that were received within a margin of its bounds, on either side.

        Returns:
            As `echo` does.
        """
        strangers: list[Activity] = []
        for bound, is_start in ((window.start, True), (window.end, False)):
            side = [row for row in near if abs(row.created_at - bound) <= MARGIN]
            other = self._sides.pop(bound, None)
            if other is None:
                # Of days that are read in a row, the next one may be done first; no more than two are under way.
                self._sides = dict([*self._sides.items(), (bound, side)][-4:])
                continue
            theirs, ours = ({row.id for row in rows} for rows in (other, side))
            strangers += [row for row in side if (row.created_at < bound) == is_start and row.id not in theirs]
            strangers += [row for row in other if (row.created_at >= bound) == is_start and row.id not in ours]
        return await self._first_missing(client, strangers)

    async def _first_missing(self, client: TopoClient, rows: Iterable[Activity | Reject]) -> tuple[str, int]:
        requests = 0
        unit = unit_of(self.step)
        around = ECHO + timedelta(seconds=unit if unit > FINEST else 0)
        for row in {row.id: row for row in rows}.values():
            at = row.created_at
            if at is None or not _REASONABLE[0] < at < _REASONABLE[1]:
                continue  # of what is centuries away, the bounds tell
            outcome = await read_proved(
                client, ActivityQuery(created_at_after=at - around, created_at_before=at + around)
            )
            requests += outcome.requests
            found = outcome.tally.rows
            if row.id not in found.activities and row.id not in found.unreadable:
                return f"activity {row.id} of {at.isoformat()} is not among those of the seconds around it", requests
        return "", requests


async def read_window(
    client: TopoClient,
    window: Window,
    *,
    event_type: EventType | None = None,
    depth: int = DEPTH,
    keeper: Keeper | None = None,
    evidence: Evidence | None = None,
) -> Reading:
    """Read every activity of `window`, also an empty window's count.

    Args:
        client: Whom to ask.
        window: What to read.
        event_type: Only what happened so, where it is given.
        depth: Pages of one query that are read; a window that holds more is read in parts.
        keeper: Who takes the activities, those between the asked bounds and outside the window too; then none is in
            the reading, and of a window that is read in parts only one or two are in memory.
        evidence: Of the windows read before in this run. Without it no echo is asked for.

    Raises:
        IncompleteWindow: what was received is not proved to be what there is; holds what was received.
        TimesDisagree: the rows are not those that were asked for.
        EchoMissing: the same, and it will be so for every window.
        LimitExceeded: it takes too many requests, or too long.
        TopoError: Topo refused, or could not be reached.
    """
    seen = evidence or Evidence()
    asked = _Asked(window, seen.step)
    sieve = _Sieve(keeper, window) if keeper else None
    outcome = await read_proved(client, asked.query(event_type), depth, sieve)
    requests, missing = outcome.requests, ""
    if evidence and window.start < window.end:
        missing, more = await evidence.echo(client, window, outcome.tally.rows)
        requests += more
    wider = _Asked(window, _step(outcome.tally.rows, seen))
    if wider.margin > asked.margin and not (missing or outcome.refused):
        if sieve:
            sieve.start_again()
        asked = wider
        outcome = await read_proved(client, asked.query(event_type), depth, sieve)
        requests += outcome.requests
    rows = outcome.tally.rows
    seen.step = math.gcd(seen.step, rows.step)
    got = len(rows)
    received = rows.hand_over()
    if sieve:
        await sieve.keep(received)
    excess = asked.excess(rows)
    if evidence and window.start < window.end and not (missing or excess or outcome.refused):
        apart, more = await evidence.compare(client, window, sieve.near if sieve else received)
        excess, requests = apart and f": {apart}", requests + more
    reading = _reading(asked, outcome, [] if keeper else received, requests)
    if missing or excess:
        because = "; ".join(filter(None, [f"Topo's time filter and its timestamps disagree{excess}", missing]))
        raise (EchoMissing if missing else TimesDisagree)(reading=reading, got=got, because=because)
    if outcome.refused:
        because = f"{counted(reading.total_count, got)}; {_because(outcome.refused, asked.query(event_type))}"
        raise IncompleteWindow(reading=reading, got=got, because=because, request_ids=outcome.refused.request_ids)
    return reading


class _Sieve:
    """A keeper that also remembers what is near the bounds of a window."""

    def __init__(self, keeper: Keeper, window: Window) -> None:
        self._keeper = keeper
        self._inside = window.start + MARGIN, window.end - MARGIN
        self._near: dict[str, Activity] = {}
        self.on_last_part = keeper.on_last_part

    @property
    def near(self) -> list[Activity]:
        return list(self._near.values())

    async def keep(self, activities: Sequence[Activity]) -> None:
        first, last = self._inside
        self._near |= {row.id: row for row in activities if not first < row.created_at < last}
        await self._keeper.keep(activities)

    def start_again(self) -> None:
        self._near.clear()
        self._keeper.start_again()


def _step(rows: Rows, seen: Evidence) -> int:
    """The step of a window's own times; of a few, which may share one by chance, that of all that were seen."""
    return rows.step if len(rows) >= FEW else math.gcd(rows.step, seen.step)


@dataclass(frozen=True)
class _Asked:
    """What is asked for to read a window whose times are multiples of `step` seconds; 0 where that is unknown."""

    window: Window
    step: int

    @property
    def margin(self) -> timedelta:
        # Twice the unit: a row may be rounded by one, and the row of the echo by another.
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
        """Say by how much a row shows a time that was not asked for, and which row; empty where none does."""
        if rows.earliest is None or rows.latest is None:
            return ""
        first, last = rows.earliest.created_at or self.after, rows.latest.created_at or self.before
        early, late = self.after - first, last - self.before
        row, by = (rows.earliest, early) if early > late else (rows.latest, late)
        if by <= timedelta(seconds=unit_of(self.step or FINEST)):
            return ""
        at = first if early > late else last
        return f" by {_duration(by)} or more: activity {row.id or 'without an id'} of {at.isoformat()} was returned"


def _reading(asked: _Asked, outcome: Outcome, received: list[Activity], requests: int) -> Reading:
    rejects = outcome.tally.rows.rejects()
    window = asked.window
    received.sort(key=lambda activity: (activity.created_at, activity.id))
    return Reading(
        window=window,
        asked_after=asked.after,
        asked_before=asked.before,
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
        reason = "it is not proved"
    else:
        asked = refused.query.params()
        kinds = [f"{name}={asked[name]}" for name in ("resource_type", "event_type") if name in asked]
        part = " ".join([f"{asked['created_at_after']} to {asked['created_at_before']}", *kinds])
        reason = f"its part {part} is not proved: {refused.count} counted, {len(refused.rows)} received"
    if refused.foreign:
        reason += f"; Topo's type filter returned {refused.foreign}"
    return f"{reason}; more rows than Topo counts can be read there" if refused.capped else reason


def _duration(time: timedelta) -> str:
    seconds = round(time.total_seconds(), 1)
    if seconds < _TWO_MINUTES:
        return f"{seconds:g} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)
