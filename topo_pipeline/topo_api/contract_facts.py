"""Gather the facts for the contract check with at most 40 small requests.

This module decides which requests are sent and enforces their limit. Judging the assumptions belongs in `contract`.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from itertools import chain, zip_longest
from typing import Any, TypeVar

from topo_pipeline.days import Window
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import RequestRefused, TopoError
from topo_pipeline.topo_api.resolution import FINEST, common_step, unit_of
from topo_pipeline.topo_api.wire import (
    MAX_PAGE_SIZE,
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
_NOTHING = timedelta()
_AROUND = timedelta(seconds=1.5)
_FEW_ROWS = 8  # times of fewer rows can all be multiples of two seconds by chance

_T = TypeVar("_T")


@dataclass(frozen=True)
class Missing:
    """A missing answer and its reason, without anything from the workspace."""

    reason: str
    status: int | None = None
    """HTTP status, if Topo refused the request."""


NOT_ASKED = Missing("it was not requested")
NO_ACTIVITY = Missing("the days that were checked have no activity")
_TOO_LATE = Missing(f"the limit of {TIME_LIMIT:g} seconds was reached")


@dataclass(frozen=True)
class Row:
    """An activity with its decoded payload, in either spelling."""

    id: str
    created_at: datetime
    payload: dict[str, Any]

    @property
    def type(self) -> str:
        """The type, such as `message.sent`. Empty if there is none."""
        value = self.payload.get("type")
        return value if isinstance(value, str) else ""

    def get(self, snake: str, camel: str) -> Any:
        """Return a field of the payload or of its `metadata`. None if there is none."""
        details = self.payload.get("metadata")
        places = (self.payload, details if isinstance(details, dict) else {})
        found = [place.get(name) for place in places for name in (snake, camel)]
        return next((value for value in found if value is not None), None)


@dataclass(frozen=True)
class Sample:
    """A window that was read page by page, in order."""

    query: ActivityQuery
    pages: list[ActivityPage]
    is_whole: bool
    """Whether every counted page was read."""

    @cached_property
    def rows(self) -> list[Row]:
        """The activities in the order received, including repeated ones."""
        return [row for page in self.pages for row in rows_of(page)]

    @property
    def types(self) -> list[str]:
        """The type of each distinct activity."""
        return [*{row.id: row.type for row in self.rows}.values()]

    @property
    def first(self) -> ActivityPage:
        """The first page."""
        return self.pages[0]


@dataclass(frozen=True)
class Probe:
    """Which windows around the instant t shown for a row contain that row. None if unknown."""

    around: bool | None
    """From t minus the margin to t plus the margin."""
    after: bool | None = None
    """From t (exclusive) to t plus the margin."""
    before: bool | None = None
    """From t minus the margin to t (exclusive)."""
    just_after: bool | None = None
    """Like `after`, but starting a microsecond later."""
    just_before: bool | None = None
    """Like `before`, but ending a microsecond earlier."""


@dataclass
class Facts:
    """The facts gathered."""

    sample: Sample | Missing = NO_ACTIVITY
    again: ActivityPage | Missing = NOT_ASKED
    """The sample's first page, requested again."""
    beyond: ActivityPage | Missing = NOT_ASKED
    """The page after the sample's last page."""
    uncounted: int | Missing = NOT_ASKED
    """The sum of the counts of a long window's two parts minus the window's own count."""
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
    """Return the activities of a page in order, with their payloads decoded."""
    return [Row(row.id, row.created_at.astimezone(UTC), _decoded(row.payload)) for row in page.activities]


def _decoded(payload: str) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):  # a number of thousands of digits, a thousand brackets
        return {}
    return value if isinstance(value, dict) else {}


async def gather(client: TopoClient, windows: Sequence[Window], limit: int = REQUEST_LIMIT) -> Facts:
    """Send at most `limit` requests and return the facts. The client must send nothing else at the same time.

    The sample is taken from `windows`, preferably from the first. Each of them must be over.

    Raises:
        TopoError: the first request failed, so nothing can be checked.
    """
    facts = Facts()
    requester = _Requester(client, limit, facts.seconds)
    long = Window(windows[0].end - _LONG, windows[0].end)
    whole = (await client.activities(_between(long, size=1))).total_count
    facts.response = client.last_response
    facts.seconds += [facts.response.seconds] if facts.response else []
    facts.me = await requester.ask(client.identity)
    facts.templates = await requester.ask(partial(client.read_first, SequenceTemplate))
    chosen = await _choose(requester, windows[:_DAYS_TRIED], (long, whole))
    sample = facts.sample = chosen if isinstance(chosen, Missing) else await _read_sample(requester, chosen)
    if isinstance(sample, Missing):
        return facts
    facts.again = await requester.page(sample.query)
    if sample.is_whole:
        facts.beyond = await requester.page(replace(sample.query, page=len(sample.pages) + 1))
    unit = unit_of(common_step(row.created_at for row in sample.rows))
    facts.unit = unit if unit > FINEST and len(sample.rows) >= _FEW_ROWS else None
    facts.probes = await _probe(requester, sample, facts.margin)
    facts.uncounted = await _add_up(requester, long, whole, sample.rows)
    facts.replies = await _replies(requester, long, sample)
    await _count_by_filters(requester, facts, sample)
    return facts


class _Requester:
    """Sends one request at a time within the limits. If one fails, only its fact is unknown."""

    def __init__(self, client: TopoClient, limit: int, seconds: list[float]) -> None:
        self._client = client
        self._limit = limit
        self._sent_before = client.requests
        self._seconds = seconds
        self._deadline = asyncio.get_running_loop().time() + TIME_LIMIT

    async def page(self, query: ActivityQuery) -> ActivityPage | Missing:
        return await self.ask(lambda: self._client.activities(query))

    async def count(self, query: ActivityQuery) -> int | Missing:
        page = await self.page(replace(query, size=1))
        return page if isinstance(page, Missing) else page.total_count

    async def ask(self, call: Callable[[], Awaitable[_T]]) -> _T | Missing:
        # A call can use all of its attempts.
        if self._client.requests - self._sent_before + self._client.attempts > self._limit:
            return Missing(f"the limit of {self._limit} requests was reached")
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
            counted = [(candidate, found)]
            break
        else:
            counted.append((candidate, found))
    window, count = max(counted, key=lambda pair: pair[1])
    # Keep the fuller half until it has few enough rows.
    for _ in range(_HALVINGS):
        if count <= _MANY_ROWS:
            break
        first, second = Window(window.start, _middle(window)), Window(_middle(window), window.end)
        found = await requester.count(_between(first))
        if isinstance(found, Missing):
            break
        window, count = max((first, found), (second, count - found), key=lambda half: half[1])
    return window if count else why_none


async def _read_sample(requester: _Requester, window: Window) -> Sample | Missing:
    query = _between(window)
    first = await requester.page(query)
    if isinstance(first, Missing):
        return first
    if not first.activities:
        return NO_ACTIVITY
    counted = -(-first.total_count // first.length)
    pages = [first]
    for number in range(2, min(counted, _MOST_PAGES) + 1):
        page = await requester.page(replace(query, page=number))
        if isinstance(page, Missing):
            break
        pages.append(page)
    return Sample(query, pages, is_whole=len(pages) >= counted)


async def _probe(requester: _Requester, sample: Sample, margin: timedelta) -> list[Probe]:
    """Request the seconds around two rows, and both sides of the first one's instant."""
    full = sample.first.length if len(sample.pages) > 1 else MAX_PAGE_SIZE

    async def holds(row: Row, since: timedelta, until: timedelta) -> bool | None:
        """Return whether the window between two offsets from the row's instant contains the row. None if unknown."""
        try:
            query = ActivityQuery(created_at_after=row.created_at + since, created_at_before=row.created_at + until)
        except OverflowError:  # the year 1 or 9999
            return None
        page = await requester.page(query)
        if isinstance(page, Missing):
            return None
        if any(activity.id == row.id for activity in page.activities):
            return True
        # If the page is full, the row could be on a later one.
        return False if page.length < full else None

    rows = sorted(sample.rows, key=lambda row: row.created_at)
    half = (len(rows) + 1) // 2
    first, *others = [_quietest(part, margin) for part in (rows[:half], rows[half:]) if part]
    probes = [Probe(await holds(row, -margin, margin)) for row in (first, *others)]
    if all(probe.around for probe in probes):
        after, before = await holds(first, _NOTHING, margin), await holds(first, -margin, _NOTHING)
        probes[0] = Probe(
            around=True,
            after=after,
            before=before,
            just_after=await holds(first, _INSTANT, margin) if after else None,
            just_before=await holds(first, -margin, -_INSTANT) if before else None,
        )
    return probes


def _quietest(rows: Sequence[Row], margin: timedelta) -> Row:
    """Return the row with the fewest others around it, so that all of them fit on one page."""
    return min(rows, key=lambda row: sum(abs(other.created_at - row.created_at) <= margin for other in rows))


async def _add_up(requester: _Requester, window: Window, whole: int, rows: Sequence[Row]) -> int | Missing:
    """Return how many more rows than `whole` Topo counts in the two parts of the window.

    It is cut at the middle one of the rows, so that neither part is empty. The parts share a second, which is counted
    too, so that the result does not depend on how bounds are treated.
    """
    moments = sorted(row.created_at for row in rows if window.start < row.created_at < window.end)
    middle = moments[len(moments) // 2].replace(microsecond=0) if moments else _middle(window)
    counts: list[int] = []
    for part in (Window(window.start, middle), Window(middle, window.end), Window(middle, middle)):
        found = await requester.count(_between(part))
        if isinstance(found, Missing):
            return found
        counts.append(found)
    first, second, shared = counts
    return first + second - shared - whole


async def _replies(requester: _Requester, window: Window, sample: Sample) -> list[Row]:
    """Return the sample's replies and the oldest ones of a long window, which have their categories."""
    page = await requester.page(_between(window, event_type=EventType.REPLIED))
    oldest = [] if isinstance(page, Missing) else rows_of(page)
    return [row for row in (*oldest, *sample.rows) if row.type == "message.replied"]


async def _count_by_filters(requester: _Requester, facts: Facts, sample: Sample) -> None:
    """Count the sample by each filter's most frequent values, as far as the limit allows."""
    message = replace(sample.query, resource_type=ResourceType.MESSAGE)
    channels = [(facts.by_channel, channel, replace(message, channel=channel)) for channel in Channel]
    kinds = [row.type.upper().partition(".") for row in sample.rows]
    resources = Counter(ResourceType(resource) for resource, _, _ in kinds if resource in set(ResourceType))
    events = Counter(EventType(event) for _, _, event in kinds if event in set(EventType))
    by_resource = [
        (facts.by_resource, value, replace(sample.query, resource_type=value))
        for value, _ in resources.most_common(_VALUES_ASKED)
    ]
    by_event = [
        (facts.by_event, value, replace(sample.query, event_type=value))
        for value, _ in events.most_common(_VALUES_ASKED)
    ]
    alternating = chain.from_iterable(zip_longest(by_resource, by_event))
    for counts, value, query in (*channels, *filter(None, alternating)):
        found = await requester.count(query)
        if not isinstance(found, Missing):
            counts[value] = found
