"""Gather the facts for the contract check with at most 40 small requests.

This module decides which requests are sent and enforces their limit. Judging the assumptions belongs in `contract`.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, zip_longest
from typing import Any, TypeVar

from topo_pipeline.days import Window
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import RequestRefused, TopoError
from topo_pipeline.topo_api.resolution import FINEST, common_step, unit_of
from topo_pipeline.topo_api.wire import (
    MAX_PAGE_SIZE,
    Activity,
    ActivityPage,
    ActivityQuery,
    Channel,
    EventType,
    Me,
    ResourceType,
    ResponseInfo,
    SequenceTemplate,
)

REQUEST_LIMIT = 40
"""Maximum number of requests of one check, retries included."""
TIME_LIMIT = 300.0
"""Seconds. A load waits for its check, and a working API needs far less."""

# The sample is a window with slightly more rows than one page, read completely.
_ENOUGH_ROWS, _MANY_ROWS, _MOST_PAGES = 101, 250, 5
_DAYS_TRIED = 4
_HALVINGS = 8
_VALUES_ASKED = 4  # of each filter, the most frequent first
_LONG = timedelta(days=28)
_SECOND = timedelta(seconds=1)
_INSTANT = timedelta(microseconds=1)
_AROUND = timedelta(seconds=1.5)
_FEW_ROWS = 8  # times of fewer rows can all be multiples of two seconds by chance

_T = TypeVar("_T")


@dataclass(frozen=True)
class Missing:
    """A missing answer and its reason, without anything from the workspace.

    Attributes:
        reason: a phrase.
        status: the HTTP status of the refusal, if Topo refused the request.
    """

    reason: str
    status: int | None = None


NOT_ASKED = Missing("it was not requested")
NO_ACTIVITY = Missing("the days that were checked have no activity")
_TOO_LATE = Missing(f"the limit of {TIME_LIMIT:g} seconds was reached")


class Budget:
    """Limits the requests of a check, retries included.

    Args:
        client: The client. It must send nothing else at the same time.
        limit: Maximum number of requests.
    """

    def __init__(self, client: TopoClient, limit: int = REQUEST_LIMIT) -> None:
        self._client = client
        self._limit = limit
        self._before = client.requests

    @property
    def spent(self) -> int:
        """Number of requests sent."""
        return self._client.requests - self._before

    @property
    def allows_another(self) -> bool:
        """Whether one more call stays within the limit even if all its attempts fail."""
        return self.spent + self._client.attempts <= self._limit


@dataclass(frozen=True)
class Row:
    """An activity with its decoded payload, in either spelling."""

    id: str
    created_at: datetime
    payload: dict[str, Any]

    @property
    def type(self) -> str | None:
        """The type, such as `message.sent`."""
        value = self.payload.get("type")
        return value if isinstance(value, str) else None

    def get(self, snake: str, camel: str) -> Any:
        """Return a field of the payload or of its `metadata`. None if there is none."""
        details = self.payload.get("metadata")
        for place in (self.payload, details if isinstance(details, dict) else {}):
            for name in (snake, camel):
                if place.get(name) is not None:
                    return place[name]
        return None


@dataclass(frozen=True)
class Sample:
    """A window that was read page by page.

    Attributes:
        query: the query of the first page.
        pages: the pages, in order.
        is_whole: whether every counted page was read.
    """

    query: ActivityQuery
    pages: list[ActivityPage]
    is_whole: bool

    @property
    def rows(self) -> list[Row]:
        """The activities in the order received, including repeated ones."""
        return [row for page in self.pages for row in rows_of(page)]

    @property
    def first(self) -> ActivityPage:
        """The first page."""
        return self.pages[0]

    @property
    def page_size(self) -> int:
        """Number of rows on a full page, as far as the sample shows it."""
        return len(self.first.activities) + len(self.first.rejects) if len(self.pages) > 1 else MAX_PAGE_SIZE


@dataclass(frozen=True)
class Additivity:
    """Counts of a long window, of its two parts, and of the second that both parts share."""

    whole: int
    halves: tuple[int, int]
    shared: int

    @property
    def lacking(self) -> int:
        """The sum of the two parts minus the window's count."""
        return sum(self.halves) - self.shared - self.whole


@dataclass(frozen=True)
class Probe:
    """Which windows around the instant t shown for a row contain that row. None if unknown.

    Attributes:
        around: t minus the margin to t plus the margin.
        after: t (exclusive) to t plus the margin.
        before: t minus the margin to t (exclusive).
        just_after: like `after`, but starting a microsecond later.
        just_before: like `before`, but ending a microsecond earlier.
    """

    around: bool | None
    after: bool | None = None
    before: bool | None = None
    just_after: bool | None = None
    just_before: bool | None = None


@dataclass
class Facts:
    """The facts gathered."""

    sample: Sample | Missing = NO_ACTIVITY
    again: ActivityPage | Missing = NOT_ASKED
    """The sample's first page, requested again."""
    beyond: ActivityPage | Missing = NOT_ASKED
    """The page after the sample's last page."""
    additivity: Additivity | Missing = NOT_ASKED
    unit: int | None = None
    """Seconds that every instant shown is a multiple of, if two or more."""
    probes: list[Probe] = field(default_factory=list)
    replies: list[Row] = field(default_factory=list)
    by_resource: dict[str, int] = field(default_factory=dict)
    by_event: dict[str, int] = field(default_factory=dict)
    by_channel: dict[str, int] = field(default_factory=dict)
    """Counts of messages by channel."""
    me: Me | Missing = NOT_ASKED
    templates: list[SequenceTemplate] | Missing = NOT_ASKED
    response: ResponseInfo | None = None
    """Facts from the first response's headers."""
    seconds: list[float] = field(default_factory=list)
    """Duration of each request."""

    @property
    def margin(self) -> timedelta:
        """How far outside the requested bounds a row may be shown."""
        return _AROUND + timedelta(seconds=self.unit or 0)


def rows_of(page: ActivityPage) -> list[Row]:
    """Return the activities of a page in order."""
    return [_row(activity) for activity in page.activities]


async def gather(client: TopoClient, windows: Sequence[Window], budget: Budget) -> Facts:
    """Send the requests and return the facts.

    Args:
        client: The client. It must send nothing else at the same time.
        windows: Windows to take the sample from, the preferred one first. Each is over.
        budget: Limits the requests.

    Raises:
        TopoError: the first request failed, so nothing can be checked.
    """
    facts = Facts()
    requester = _Requester(client, budget, facts.seconds)
    long = Window(windows[0].end - _LONG, windows[0].end)
    whole = (await client.activities(_between(long, size=1))).total_count
    facts.response = client.last_response
    facts.seconds += [facts.response.seconds] if facts.response else []
    facts.me = await requester.ask(client.identity)
    facts.templates = await requester.ask(partial(client.read_first, SequenceTemplate))
    chosen = await _choose(requester, [*windows[:_DAYS_TRIED]], (long, whole))
    if isinstance(chosen, Missing):
        facts.sample = chosen
        return facts
    sample = facts.sample = await _read_sample(requester, chosen)
    if isinstance(sample, Missing):
        return facts
    facts.again = await requester.page(sample.query)
    if sample.is_whole:
        facts.beyond = await requester.page(replace(sample.query, page=len(sample.pages) + 1))
    facts.unit = _coarse_unit([row.created_at for row in sample.rows])
    facts.probes = await _probe(requester, sample, facts.margin)
    facts.additivity = await _add_up(requester, long, whole, sample.rows)
    facts.replies = await _replies(requester, long, sample)
    await _filter(requester, facts, sample)
    return facts


class _Requester:
    """Sends one request at a time within the budget. If one fails, only its fact is unknown."""

    def __init__(self, client: TopoClient, budget: Budget, seconds: list[float]) -> None:
        self._client = client
        self._budget = budget
        self._seconds = seconds
        self._deadline = asyncio.get_running_loop().time() + TIME_LIMIT

    async def page(self, query: ActivityQuery) -> ActivityPage | Missing:
        return await self.ask(lambda: self._client.activities(query))

    async def count(self, query: ActivityQuery) -> int | Missing:
        page = await self.page(replace(query, size=1))
        return page if isinstance(page, Missing) else page.total_count

    async def ask(self, call: Callable[[], Awaitable[_T]]) -> _T | Missing:
        if not self._budget.allows_another:
            return Missing(f"the limit of {REQUEST_LIMIT} requests was reached")
        if asyncio.get_running_loop().time() >= self._deadline:
            return _TOO_LATE
        try:
            async with asyncio.timeout_at(self._deadline):
                value = await call()
        except TimeoutError:
            return _TOO_LATE
        except RequestRefused as error:
            return Missing(f"Topo answered {error.status}", error.status)
        except TopoError as error:
            return Missing(f"Topo gave no usable answer ({type(error).__name__})")
        if self._client.last_response:
            self._seconds.append(self._client.last_response.seconds)
        return value


def _between(window: Window, **others: Any) -> ActivityQuery:
    """Return the query for a window, with the lower bound a second earlier."""
    return ActivityQuery(created_at_after=window.start - _SECOND, created_at_before=window.end, **others)


def _middle(window: Window) -> datetime:
    return (window.start + (window.end - window.start) / 2).replace(microsecond=0)


async def _choose(requester: _Requester, windows: Sequence[Window], long: tuple[Window, int]) -> Window | Missing:
    """Return a window with slightly more rows than a page, or the fullest one."""
    counted, why_none = [long], NO_ACTIVITY
    for candidate in windows:
        found = await requester.count(_between(candidate))
        if isinstance(found, Missing):
            why_none = found
        elif found >= _ENOUGH_ROWS:
            return await _narrowed(requester, candidate, found)
        else:
            counted.append((candidate, found))
    window, count = max(counted, key=lambda pair: pair[1])
    return await _narrowed(requester, window, count) if count else why_none


async def _narrowed(requester: _Requester, window: Window, count: int) -> Window:
    """Halve the window, keeping the fuller half, until it has few enough rows."""
    for _ in range(_HALVINGS):
        if count <= _MANY_ROWS:
            break
        first, second = Window(window.start, _middle(window)), Window(_middle(window), window.end)
        found = await requester.count(_between(first))
        if isinstance(found, Missing):
            break
        window, count = max((first, found), (second, count - found), key=lambda half: half[1])
    return window


async def _read_sample(requester: _Requester, window: Window) -> Sample | Missing:
    query = _between(window)
    first = await requester.page(query)
    if isinstance(first, Missing):
        return first
    if not first.activities:
        return NO_ACTIVITY
    counted = -(-first.total_count // (len(first.activities) + len(first.rejects)))
    pages = [first]
    for number in range(2, min(counted, _MOST_PAGES) + 1):
        page = await requester.page(replace(query, page=number))
        if isinstance(page, Missing):
            break
        pages.append(page)
    return Sample(query, pages, is_whole=len(pages) >= counted)


def _coarse_unit(moments: Sequence[datetime]) -> int | None:
    if len(moments) < _FEW_ROWS:
        return None
    unit = unit_of(common_step(moments))
    return unit if unit > FINEST else None


async def _probe(requester: _Requester, sample: Sample, margin: timedelta) -> list[Probe]:
    """Request the seconds around two rows, and both sides of the first one's instant."""
    rows = sorted(sample.rows, key=lambda row: row.created_at)
    half = (len(rows) + 1) // 2
    first, *others = [_quietest(part, margin) for part in (rows[:half], rows[half:]) if part]
    finder = _Finder(requester, margin, sample.page_size)
    probes = [Probe(await finder.around(row)) for row in (first, *others)]
    if all(probe.around for probe in probes):
        probes[0] = await finder.at_both_sides(first)
    return probes


def _quietest(rows: Sequence[Row], margin: timedelta) -> Row:
    """Return the row with the fewest others around it, so that all of them fit on one page."""

    def neighbours(row: Row) -> int:
        return sum(abs(other.created_at - row.created_at) <= margin for other in rows)

    return min(rows, key=neighbours)


class _Finder:
    """Tests which windows around the instant shown for a row contain it."""

    def __init__(self, requester: _Requester, margin: timedelta, page_size: int) -> None:
        self._requester = requester
        self._margin = margin
        self._page_size = page_size

    async def around(self, row: Row) -> bool | None:
        return await self._holds(row, -self._margin, self._margin)

    async def at_both_sides(self, row: Row) -> Probe:
        nothing = timedelta()
        after = await self._holds(row, nothing, self._margin)
        before = await self._holds(row, -self._margin, nothing)
        return Probe(
            around=True,
            after=after,
            before=before,
            just_after=await self._holds(row, _INSTANT, self._margin) if after else None,
            just_before=await self._holds(row, -self._margin, -_INSTANT) if before else None,
        )

    async def _holds(self, row: Row, since: timedelta, until: timedelta) -> bool | None:
        """Return whether the window between two offsets from the row's instant contains the row. None if unknown."""
        try:
            query = ActivityQuery(created_at_after=row.created_at + since, created_at_before=row.created_at + until)
        except OverflowError:  # the year 1 or 9999
            return None
        page = await self._requester.page(query)
        if isinstance(page, Missing):
            return None
        if row.id in {activity.id for activity in page.activities}:
            return True
        # If the page is full, the row could be on a later one.
        return False if len(page.activities) + len(page.rejects) < self._page_size else None


async def _add_up(requester: _Requester, window: Window, whole: int, rows: Sequence[Row]) -> Additivity | Missing:
    """Count the parts of a window before and after the middle one of these rows, so that neither part is empty.

    The parts share a second, so that the result does not depend on how bounds are treated.
    """
    moments = sorted(row.created_at for row in rows if window.start < row.created_at < window.end)
    middle = moments[len(moments) // 2].replace(microsecond=0) if moments else _middle(window)
    counts = [
        await requester.count(_between(part))
        for part in (Window(window.start, middle), Window(middle, window.end), Window(middle, middle))
    ]
    found = [count for count in counts if not isinstance(count, Missing)]
    if len(found) < len(counts):
        return next(count for count in counts if isinstance(count, Missing))
    first, second, shared = found
    return Additivity(whole, (first, second), shared)


async def _replies(requester: _Requester, window: Window, sample: Sample) -> list[Row]:
    """Return the sample's replies and the oldest ones of a long window, which have their categories."""
    page = await requester.page(_between(window, event_type=EventType.REPLIED))
    oldest = [] if isinstance(page, Missing) else rows_of(page)
    return [row for row in (*oldest, *sample.rows) if row.type == "message.replied"]


async def _filter(requester: _Requester, facts: Facts, sample: Sample) -> None:
    """Count the sample by each filter's most frequent values, as far as the budget allows."""
    kinds = [tuple((row.type or "").upper().split(".")) for row in sample.rows]
    pairs = [kind for kind in kinds if len(kind) == 2]  # noqa: PLR2004
    resources = [value for value, _ in Counter(pair[0] for pair in pairs).most_common() if value in set(ResourceType)]
    events = [value for value, _ in Counter(pair[1] for pair in pairs).most_common() if value in set(EventType)]
    queries: Iterator[tuple[dict[str, int], str, ActivityQuery]] = chain(
        (
            (facts.by_channel, channel, replace(sample.query, resource_type=ResourceType.MESSAGE, channel=channel))
            for channel in Channel
        ),
        chain.from_iterable(
            zip_longest(
                [(facts.by_resource, v, replace(sample.query, resource_type=ResourceType(v))) for v in resources],
                [(facts.by_event, v, replace(sample.query, event_type=EventType(v))) for v in events],
            )
        ),
    )
    for item in queries:
        if item and len(item[0]) < _VALUES_ASKED:
            counts, value, query = item
            found = await requester.count(query)
            if not isinstance(found, Missing):
                counts[value] = found


def _row(activity: Activity) -> Row:
    try:
        payload = json.loads(activity.payload)
    except (ValueError, RecursionError):  # a number of thousands of digits, a thousand brackets
        payload = None
    return Row(activity.id, activity.created_at.astimezone(UTC), payload if isinstance(payload, dict) else {})
