"""All rows of a query, each part of it proved by a count of its own; what disagrees is read again, then split.

A proof is that the distinct rows received are as many as Topo counts, on every page of the query alike: then nothing
came or went between its first page and its last, and no page was torn. A part that fits one page is one response.

Nor may the count be a cap. Where the last page that was counted says that there is more, the page after it is asked
for. Where it says so, or the count looks like a cap, the rows before and after the middle one are counted. Where either
shows a row that was not received, the count is capped: the query is split until no part's count is, and the distinct
rows of the proved parts are the count.

In the order in which they are tried:

1. read, and read again;
2. split in time. Each part is asked for with the overlap before its start, so that none depends on how Topo rounds;
   its rows are taken as they come, and filtered to the window by whoever asked for all of it.
   Cuts lie on whole seconds, the only precision that every example of the API shares;
3. split by type, where a second holds more than a page;
4. read until every row has been seen, where one type does.

No part's deep pages are read where it can be split: a deep query is cut where its last page that is not deep stands
in time. That page costs one request for each part, but a guess at the distribution over the day would cost more.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import LimitExceeded, RequestRefused
from topo_pipeline.topo_api.tally import Rows, Tally
from topo_pipeline.topo_api.wire import MAX_PAGE_SIZE, Activity, ActivityPage, ActivityQuery, EventType, ResourceType

OVERLAP = timedelta(seconds=1)
"""Asked for before a start: the bound is exclusive and Topo promises no precision."""
DEPTH = 50
"""Pages of one query that are read; how a server bears deeper ones is not documented."""
ATTEMPTS = 2
"""Readings of a query before it is split, and of the whole where its parts don't add up to it."""
ROUNDS = 16
"""Readings of what can't be split. With its order drawn anew for each request, 1 row in 10,000,000 stays unseen."""
IDLE_ROUNDS = 6
"""After so many in a row that brought nothing new, nothing more is looked for."""
PARTS_AT_ONCE = 2
"""Parts of a deep query that are read at the same time: fewer are read faster, so that less changes meanwhile."""

SMALLEST_CAP = 100
"""No smaller count is taken for a cap."""
MAX_REQUESTS = 20_000
"""Requests for one query: two million rows and what it takes to repair them. Also ends what has no end."""
MAX_TIME = timedelta(hours=2)
"""For one query."""

_STEP = timedelta(seconds=1)


class Keeper(Protocol):
    """Takes what was received, a part of a deep query at a time: none of it then stays in memory but its ids."""

    async def keep(self, activities: Sequence[Activity]) -> None:
        """Take these; of an id that came before, this is the version that counts."""

    def start_again(self) -> None:
        """Let go of everything so far: it is read once more."""

    def on_last_part(self) -> None:
        """The last part of a deep query is begun, while the one before may still be read; told for each reading."""


@dataclass(frozen=True)
class Outcome:
    """Everything that was received, and what of it could not be proved."""

    tally: Tally
    refused: Tally | None
    """The first part that still disagreed after everything was tried."""
    requests: int
    """Requests it took, retries included."""
    as_of: datetime | None
    """When the oldest of its answers was made, by Topo's clock; None where no answer says."""


async def read_proved(
    client: TopoClient, query: ActivityQuery, depth: int = DEPTH, keeper: Keeper | None = None
) -> Outcome:
    """Every row of `query`, which has both bounds; proved, unless something is refused.

    With a keeper, the parts of a deep query go there as they are read; the tally then holds their ids.

    Raises:
        ValueError: `depth` is not positive.
        LimitExceeded: it takes more than MAX_REQUESTS requests or MAX_TIME.
        TopoError: Topo refused, or could not be reached.
    """
    if depth < 1:
        raise ValueError(f"a depth of {depth} pages: at least one must be read")
    reader = _Reader(client, depth, keeper)
    try:
        async with asyncio.timeout(MAX_TIME.total_seconds()) as limit:
            tally = await reader.whole(query)
    except TimeoutError:
        if not limit.expired():
            raise
        exceeded = LimitExceeded(f"{_window(query)} took longer than {MAX_TIME}, {reader.requests} requests so far")
    else:
        return Outcome(tally, reader.refused, reader.requests, reader.as_of)
    raise exceeded


class _Reader:
    """Reads one query. Once a part is refused nothing can prove the whole: the rest is then read once, as it comes."""

    def __init__(self, client: TopoClient, depth: int, keeper: Keeper | None) -> None:
        self.refused: Tally | None = None
        self.requests = 0
        self.as_of: datetime | None = None
        self._page_size = MAX_PAGE_SIZE
        self._cap: int | None = None
        self._client = client
        self._depth = depth
        self._keeper = keeper

    async def whole(self, query: ActivityQuery) -> Tally:
        """Parts that are each proved must also add up to the whole's count, which goes into the ledger."""
        for attempt in range(ATTEMPTS):
            if attempt and self._keeper:
                self._keeper.start_again()
            tally = await self._prove(query)
            if self.refused or tally.proved:
                return tally
            if tally.foreign:
                break
            # Read in parts, and Topo counted otherwise at the outset: what does it count now?
            now = await self._ask(replace(query, size=1))
            was_capped = tally.capped or (tally.count == now.total_count and looks_capped(tally.count))
            tally = replace(tally, count=now.total_count, capped=False, request_ids=_ids(now))
            if tally.proved:
                return tally
            if was_capped and tally.count < len(tally.rows):
                return replace(tally, count=len(tally.rows), capped=True)
        return self._refuse(tally)

    async def _prove(self, query: ActivityQuery, known: int = 0) -> Tally:
        """Read a query; a count of `known` rows, which follows from another query's pages, is no cap."""
        for _ in range(1 if self.refused else ATTEMPTS):
            tally = await self._read(query, known=known)
            if tally.proved or tally.foreign:
                return tally
            if tally.capped:
                break
            if self._is_deep(tally.count) and (mark := await self._mark(query)):
                return Tally(query, tally.count, await self._read_slices(query, tally.count, mark))
        if tally.count <= self._page_size and not tally.capped:
            return self._refuse(tally)
        return await self._split(tally)

    async def _part(self, query: ActivityQuery, known: int = 0) -> Tally:
        """A part of a query. Where counts are capped no sum of the whole proves it: it has to add up by itself."""
        tally = await self._prove(query, known)
        is_open = self._cap is not None and not (tally.proved or tally.capped or self.refused)
        return self._refuse(tally) if is_open else tally

    async def _split(self, tally: Tally) -> Tally:
        cut = _middle(tally.query)
        if cut is None and tally.capped:  # of what has no count, no split by type can be proved to be all
            return self._refuse(tally)
        if cut is None and not self.refused:
            return await self._by_type(tally)
        if self._is_deep(tally.count) and not tally.capped:
            # It can be cut, yet nothing is on its deepest page: no such count is met.
            return self._refuse(await self._read(tally.query, most=self._depth if cut else sys.maxsize))
        if cut is None or self.refused:
            return tally
        halves = [await self._part(half) for half in _cut(tally.query, cut)]
        joined = _joined(tally, halves)
        return max(joined, tally, key=lambda each: len(each.rows)) if self.refused else joined

    # Reading one query

    async def _ask(self, query: ActivityQuery) -> ActivityPage:
        if self.requests >= MAX_REQUESTS:
            raise LimitExceeded(f"{_window(query)}: {self.requests} requests were not enough to read it")
        page = await self._client.activities(query)
        self.requests += page.requests
        self.as_of = min(self.as_of or page.answered_at, page.answered_at) if page.answered_at else self.as_of
        return page

    async def _read(self, query: ActivityQuery, most: int | None = None, known: int = 0) -> Tally:
        """Its pages, `most` at most; where that is left open all, but of a deep query only the first."""
        page = await self._ask(query)
        tally = Tally.of(query, page)
        if tally.pages > MAX_REQUESTS and not tally.is_short(page):
            raise LimitExceeded(f"{_window(query)}: Topo counts {tally.count} activities")
        self._page_size = min(self._page_size, tally.page_size)
        if tally.count == self._cap:
            tally.capped = True
            return tally
        if most is None:
            most = 1 if self._is_deep(tally.count) else self._depth
        last = max(1, min(tally.pages, most))
        numbers = iter(range(2, last + 1))

        async def work() -> None:
            # Shared: each number goes to one worker. After an empty page there is nothing, whatever was counted.
            nonlocal page
            while not tally.ended and (number := next(numbers, None)):
                got = await self._ask(replace(query, page=number))
                tally.add(got)
                page = got if number == last else page

        async with _tasks() as group:
            for _ in range(min(self._client.concurrency, last - 1)):
                group.create_task(work())
        if (
            tally.proved
            and tally.pages <= last
            and (page.has_more or (looks_capped(tally.count) and tally.count != known))
        ):
            tally.capped = await self._is_capped(tally, page.has_more and last + 1)
            self._cap = tally.count if tally.capped else self._cap
        return tally

    async def _is_capped(self, tally: Tally, beyond: int) -> bool:
        """Whether there are rows that a count leaves out which every page agrees with.

        Args:
            tally: What was received.
            beyond: The page after the last one, where it is said to exist; else 0.
        """
        if beyond and tally.rows.lacks(await self._ask_beyond(replace(tally.query, page=beyond))):
            return True
        parts = _around_the_middle(tally)
        for part in parts:
            counted = (await self._ask(replace(part, size=1))).total_count
            if counted > sum(moment in _Span(part) for moment in tally.rows.moments()) + len(tally.rows.rejects()):
                return True
        # Of rows of one second nothing else can be learned. It says that there are more, and the number looks like it.
        return bool(beyond and not parts and looks_capped(tally.count))

    async def _ask_beyond(self, query: ActivityQuery) -> ActivityPage:
        """A page past the end, which may be refused; that is as good as an empty one."""
        try:
            return await self._ask(query)
        except RequestRefused:
            return ActivityPage([], [], 0, 0, has_more=False)

    def _refuse(self, tally: Tally) -> Tally:
        self.refused = self.refused or tally
        return tally

    # Deep queries

    def _is_deep(self, count: int) -> bool:
        return count > self._depth * self._page_size

    async def _mark(self, query: ActivityQuery) -> "_Mark | None":
        """Where to cut a deep query; None where it is too short, or holds fewer pages than were counted."""
        start, end = _span(query)
        if _middle(query) is None:
            return None
        page = await self._ask(replace(query, page=self._depth))
        moments = sorted(activity.created_at for activity in page.activities)
        if not moments or moments[-1] < start - OVERLAP:
            return None
        # Where the page begins: what is before it fills its pages. Else as late as it goes, but after the first second.
        for cut in (_second(moments[0]), max(_second(moments[-1]), _second(start) + _STEP)):
            if start < cut < end:
                known = (self._depth - 1) * self._page_size + sum(moment < cut for moment in moments)
                return _Mark(cut, known)
        return None

    async def _read_slices(self, query: ActivityQuery, count: int, mark: "_Mark | None") -> Rows:
        """Slices up to each mark, and what is behind the last; the next mark is looked for while they are read."""
        at_once = asyncio.Semaphore(PARTS_AT_ONCE)
        rows = Rows()

        async def read(part: ActivityQuery, known: int, *, is_last: bool = False) -> None:
            async with at_once:
                if is_last and self._keeper:
                    self._keeper.on_last_part()
                tally = await self._part(part, known)
                if self._keeper:
                    await self._keeper.keep(tally.rows.hand_over())
                rows.merge(tally.rows)

        async with _tasks() as group:
            while mark:
                before, query = _cut(query, mark.cut)
                group.create_task(read(before, mark.rows))
                count -= mark.rows
                mark = await self._mark(query) if self._is_deep(count) else None
            group.create_task(read(query, 0, is_last=True))
        return rows

    # What is too short to be split in time

    async def _by_type(self, tally: Tally) -> Tally:
        """By resource, then by event; a type that no filter selects shows as a sum below the count."""
        query = tally.query
        if query.resource_type is None:
            kinds = [replace(query, resource_type=kind) for kind in ResourceType]
        elif query.event_type is None:
            kinds = [replace(query, event_type=kind) for kind in EventType]
        else:
            return await self._until_seen(query)
        parts = await self._read_kinds(tally, kinds)
        # The outer split is read twice, around its count. Had a known row come and gone again, it could make up in the
        # sum for one that no filter selects; the same rows before and after the count say that none did.
        if parts.proved and (query.resource_type or parts.rows.are((await self._read_kinds(tally, kinds)).rows)):
            return parts
        return await self._until_seen(query)

    async def _read_kinds(self, tally: Tally, kinds: list[ActivityQuery]) -> Tally:
        parts: list[Tally] = []
        for kind in kinds:
            # A filter that selects other types, too, proves nothing.
            if not any(part.foreign for part in parts) and sum(part.count for part in parts) <= tally.count:
                parts.append(await self._prove(kind))
        now = await self._ask(replace(tally.query, size=1))
        is_sum = now.total_count == sum(part.count for part in parts) and not any(part.foreign for part in parts)
        return replace(_joined(tally, parts), count=now.total_count, steady=is_sum)

    async def _until_seen(self, query: ActivityQuery) -> Tally:
        """Rows gathered from readings between which the count did not move, deep pages too: there is no other way."""
        seen = await self._read(query, most=sys.maxsize)
        idle = 0
        for _ in range(ROUNDS - 1):
            if seen.proved or self.refused or idle == IDLE_ROUNDS:
                break
            again = await self._read(query, most=sys.maxsize)
            if again.steady and seen.steady and again.count == seen.count:
                before = len(seen.rows)
                seen.rows.merge(again.rows)
                idle = idle + 1 if len(seen.rows) == before else 0
            else:
                seen = again
        return seen if seen.proved else self._refuse(seen)


@dataclass(frozen=True)
class _Mark:
    cut: datetime
    rows: int
    """How many stand before it."""


def _joined(tally: Tally, parts: Iterable[Tally]) -> Tally:
    rows = Rows()
    for part in parts:
        rows.merge(part.rows)
    return Tally(tally.query, tally.count, rows, capped=tally.capped)


def looks_capped(count: int) -> bool:
    """Whether a count may be the largest that Topo gives: a number such as 200, 1,500 or 10,000, or a power of two."""
    digits = str(count).rstrip("0")
    return count >= SMALLEST_CAP and (len(digits) == 1 or digits in {"15", "25"} or count.bit_count() == 1)


def _around_the_middle(tally: Tally) -> list[ActivityQuery]:
    """What is before and after the middle row, each with rows of its own; empty if all are of one second."""
    moments = sorted(tally.rows.moments())
    if not moments:
        return []
    start, end = _span(tally.query)
    middle = _second(moments[len(moments) // 2])
    for cut in (middle, middle + _STEP):
        if start < cut < end and moments[0] < cut <= moments[-1]:
            return list(_cut(tally.query, cut))
    return []


class _Span:
    """The bounds of a query, both exclusive."""

    def __init__(self, query: ActivityQuery) -> None:
        self._query = query

    def __contains__(self, moment: datetime) -> bool:
        after, before = self._query.created_at_after, self._query.created_at_before
        return (after is None or after < moment) and (before is None or moment < before)


def _ids(page: ActivityPage) -> list[str]:
    return [page.request_id] if page.request_id else []


def _window(query: ActivityQuery) -> str:
    asked = query.params()
    return f"{asked.get('created_at_after')} to {asked.get('created_at_before')}"


def _span(query: ActivityQuery) -> tuple[datetime, datetime]:
    """The half-open window that a query with both bounds is asked for."""
    if query.created_at_after is None or query.created_at_before is None:
        raise ValueError("a query without both bounds can't be split")
    return query.created_at_after + OVERLAP, query.created_at_before


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _middle(query: ActivityQuery) -> datetime | None:
    start, end = _span(query)
    middle = _second(start + (end - start) / 2)
    return middle if middle > start else None


def _cut(query: ActivityQuery, moment: datetime) -> tuple[ActivityQuery, ActivityQuery]:
    return replace(query, created_at_before=moment), replace(query, created_at_after=moment - OVERLAP)


@asynccontextmanager
async def _tasks() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group whose first failure is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as failures:
        failure = failures.exceptions[0]
    else:
        return
    raise failure  # outside the handler: the group is nobody's concern
