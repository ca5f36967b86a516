"""Read all rows of a query and prove each part by its own count. A part that disagrees is read again, then split.

A part is proved if the number of distinct rows received equals Topo's count and every page has the same count. Then no
row appeared or vanished between the first and the last page, and no page was torn. One page is a single response.

The count must not be a cap either. If the last counted page says that there is more, the next page is requested. If it
says so, or the count looks like a cap, the rows before and after the middle row are counted. If either shows a row that
was not received, the count is capped. The query is then split until no part's count is capped, and the distinct rows of
the proved parts are the count.

The steps, in order:

1. Read, and read again.
2. Split in time. Each part is requested with the overlap before its start, so that no part depends on how Topo rounds.
   The caller filters the rows to its window. Cuts are on whole seconds, the only precision that all examples share.
3. Split by type, if one second has more than a page.
4. Read until every row has been seen, if one type in one second has more than a page.

A query with deep pages is cut at the time of its last page that is not deep, which costs one request for each part.
Deep pages are read only if the query can't be split.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from topo_pipeline.days import OVERLAP
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import LimitExceeded, RequestRefused
from topo_pipeline.topo_api.tally import IN_MEMORY, Rows, Store, Tally
from topo_pipeline.topo_api.wire import MAX_PAGE_SIZE, ActivityPage, ActivityQuery, EventType, ResourceType

DEPTH = 50
"""Maximum page number read of one query. How the server handles deeper pages is not documented."""
ATTEMPTS = 2
"""Attempts to read a query before it is split, and to read the whole if its parts don't add up."""
ROUNDS = 16
"""Attempts to read a query that can't be split. If each has a random order, 1 row in 10,000,000 is missed."""
IDLE_ROUNDS = 6
"""Stop after this many attempts in a row that found no new row."""
PARTS_AT_ONCE = 2
"""Parts of a deep query that are read at the same time. With fewer, each is read faster and less changes during it."""
SMALLEST_CAP = 100
"""Smallest count that can be a cap."""
MAX_REQUESTS = 20_000
"""Limit for one query: two million rows plus repairs. Also ends a query without an end."""
MAX_TIME = timedelta(hours=2)
"""Limit for one query."""

_STEP = timedelta(seconds=1)


@dataclass(frozen=True)
class Outcome:
    """The rows received, and the part that could not be proved."""

    tally: Tally
    refused: Tally | None
    """The first part that still disagreed after every step."""
    requests: int
    """Number of requests, retries included."""
    as_of: datetime | None
    """Time of the oldest response by Topo's clock. None if no response has one."""


async def read_proved(
    client: TopoClient, query: ActivityQuery, depth: int = DEPTH, store: Store = IN_MEMORY
) -> Outcome:
    """Read every row of `query`, which must have both bounds. The rows are proved unless a part is refused.

    A query that is read in parts offers `store` the rows of each part.

    Raises:
        ValueError: `depth` is not positive.
        LimitExceeded: more than MAX_REQUESTS requests or MAX_TIME are needed.
        TopoError: Topo refused, or could not be reached.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1 page, not {depth}")
    reader = _Reader(client, depth, store)
    try:
        async with asyncio.timeout(MAX_TIME.total_seconds()) as limit:
            tally = await reader.whole(query)
    except TimeoutError:
        if not limit.expired():
            raise
        exceeded = LimitExceeded(f"Reading {_window(query)} took longer than {MAX_TIME} ({reader.requests} requests)")
    else:
        return Outcome(tally, reader.refused, reader.requests, reader.as_of)
    raise exceeded  # outside the handler, so that it is not chained to a request


class _Reader:
    """Reads one query. A refused part makes the whole unprovable, so the rest is then read only once."""

    def __init__(self, client: TopoClient, depth: int, store: Store) -> None:
        self.refused: Tally | None = None
        self.requests = 0
        self.as_of: datetime | None = None
        self._page_size = MAX_PAGE_SIZE
        self._cap: int | None = None
        self._client = client
        self._depth = depth
        self._store = store

    async def whole(self, query: ActivityQuery) -> Tally:
        """Read the query. Its proved parts must also add up to the total count, which goes into the ledger."""
        for _ in range(ATTEMPTS):
            self._store.clear()
            tally = await self._prove(query)
            if self.refused or tally.proved:
                return tally
            if tally.unexpected_type:
                break
            # Read in parts, and the sum differs from the first count. Ask for the current count.
            now = await self._ask(replace(query, size=1))
            was_capped = tally.capped or (tally.count == now.total_count and looks_capped(tally.count))
            tally = replace(tally, count=now.total_count, capped=False, request_ids=now.request_ids)
            if tally.proved:
                return tally
            if was_capped and tally.count < len(tally.rows):
                return replace(tally, count=len(tally.rows), capped=True)
        return self._refuse(tally)

    async def _prove(self, query: ActivityQuery, known: int = 0) -> Tally:
        """Read and prove a query. A count of `known` rows, derived from another query's pages, is not a cap."""
        for _ in range(1 if self.refused else ATTEMPTS):
            tally = await self._read(query, known=known)
            if tally.proved or tally.unexpected_type:
                return tally
            if tally.capped:
                break
            if self._is_deep(tally.count) and (mark := await self._mark(query)):
                return Tally(query, tally.count, await self._read_slices(query, tally.count, mark))
        if tally.count <= self._page_size and not tally.capped:
            return self._refuse(tally)
        return await self._split(tally)

    async def _part(self, query: ActivityQuery, known: int = 0) -> Tally:
        """Read a part of a query. If counts are capped, no total can prove it, so it must be proved by itself."""
        tally = await self._prove(query, known)
        is_open = self._cap is not None and not (tally.proved or tally.capped or self.refused)
        await self._store.take(tally.rows)
        return self._refuse(tally) if is_open else tally

    async def _split(self, tally: Tally) -> Tally:
        cut = _middle(tally.query)
        if cut is None and tally.capped:  # without a true count, a split by type can't be proved complete
            return self._refuse(tally)
        if cut is None and not self.refused:
            return await self._by_type(tally)
        if self._is_deep(tally.count) and not tally.capped:
            # It could be cut, but its deepest page is empty, so the count can't be reached.
            return self._refuse(await self._read(tally.query, most=self._depth if cut else sys.maxsize))
        if cut is None or self.refused:
            return tally
        halves = [await self._part(half) for half in _cut(tally.query, cut)]
        return _joined(tally, [tally, *halves] if self.refused else halves)

    # Reading one query

    async def _ask(self, query: ActivityQuery) -> ActivityPage:
        if self.requests >= MAX_REQUESTS:
            raise LimitExceeded(f"Reading {_window(query)} reached the limit of {MAX_REQUESTS:,} requests")
        page = await self._client.activities(query)
        self.requests += page.requests
        self.as_of = min(self.as_of or page.answered_at, page.answered_at) if page.answered_at else self.as_of
        return page

    async def _read(self, query: ActivityQuery, most: int | None = None, known: int = 0) -> Tally:
        """Read up to `most` pages. By default all of them, or only the first of a deep query."""
        page = await self._ask(query)
        tally = Tally.of(query, page)
        if tally.pages > MAX_REQUESTS and page.length >= tally.page_size:
            raise LimitExceeded(
                f"Topo counts {tally.count} activities from {_window(query)}."
                f" Reading them would take more than {MAX_REQUESTS:,} requests"
            )
        self._page_size = min(self._page_size, tally.page_size)
        if tally.count == self._cap:
            tally.capped = True
            return tally
        if most is None:
            most = 1 if self._is_deep(tally.count) else self._depth
        last = max(1, min(tally.pages, most))
        numbers = iter(range(2, last + 1))

        async def work() -> None:
            # The iterator is shared, so each page goes to one worker. Nothing follows an empty page.
            nonlocal page
            while not tally.ended and (number := next(numbers, None)):
                got = await self._ask(replace(query, page=number))
                tally.add(got)
                page = got if number == last else page

        async with _tasks() as group:
            for _ in range(min(self._client.concurrency, last - 1)):
                group.create_task(work())
        may_be_capped = page.has_more or (looks_capped(tally.count) and tally.count != known)
        if may_be_capped and tally.proved and tally.pages <= last:
            tally.capped = await self._is_capped(tally, page.has_more and last + 1)
            self._cap = tally.count if tally.capped else self._cap
        return tally

    async def _is_capped(self, tally: Tally, beyond: int) -> bool:
        """Return whether a count that every page agrees on leaves rows out.

        If has_more announces a page after the last one, `beyond` is its number, else 0.
        """
        with suppress(RequestRefused):  # of a page past the end
            if beyond and tally.rows.lacks(await self._ask(replace(tally.query, page=beyond))):
                return True
        parts = _around_the_middle(tally)
        for part in parts:
            after, before = part.bounds
            counted = (await self._ask(replace(part, size=1))).total_count
            if counted > sum(after < moment < before for moment in tally.rows.moments()) + len(tally.rows.rejects()):
                return True
        # All rows are in one second, so nothing more can be counted. has_more is true and the count looks like a cap.
        return bool(beyond and not parts and looks_capped(tally.count))

    def _refuse(self, tally: Tally) -> Tally:
        self.refused = self.refused or tally
        return tally

    # Deep queries

    def _is_deep(self, count: int) -> bool:
        return count > self._depth * self._page_size

    async def _mark(self, query: ActivityQuery) -> tuple[datetime, int] | None:
        """Return where to cut a deep query, and the number of rows before that.

        Return None if it is too short to cut or has fewer pages than counted.
        """
        start, end = _span(query)
        if _middle(query) is None:
            return None
        page = await self._ask(replace(query, page=self._depth))
        moments = sorted(activity.created_at for activity in page.activities)
        if not moments or moments[-1] < start - OVERLAP:
            return None
        # Cut where the page begins, so that the part before it fills its pages. Otherwise as late as possible.
        for cut in (_second(moments[0]), max(_second(moments[-1]), _second(start) + _STEP)):
            if start < cut < end:
                return cut, (self._depth - 1) * self._page_size + sum(moment < cut for moment in moments)
        return None

    async def _read_slices(self, query: ActivityQuery, count: int, mark: tuple[datetime, int] | None) -> Rows:
        """Read the slice before each mark and the rest after the last. Marks are looked up while slices are read."""
        at_once = asyncio.Semaphore(PARTS_AT_ONCE)
        rows = Rows()

        async def read(part: ActivityQuery, known: int) -> None:
            async with at_once:
                tally = await self._part(part, known)
                rows.merge(tally.rows)

        async with _tasks() as group:
            while mark:
                cut, known = mark
                before, query = _cut(query, cut)
                group.create_task(read(before, known))
                count -= known
                mark = await self._mark(query) if self._is_deep(count) else None
            group.create_task(read(query, 0))
        return rows

    # Queries too short to be split in time

    async def _by_type(self, tally: Tally) -> Tally:
        """Split by resource, then by event. If no filter selects a type, the sum is below the count."""
        query = tally.query
        if query.resource_type is None:
            kinds = [replace(query, resource_type=kind) for kind in ResourceType]
        elif query.event_type is None:
            kinds = [replace(query, event_type=kind) for kind in EventType]
        else:
            return await self._until_seen(query)
        parts = await self._read_kinds(tally, kinds)
        # The outer split is read twice, before and after its count. A row that appeared and vanished again could offset
        # a row that no filter selects. The same rows before and after the count rule that out.
        if parts.proved and (query.resource_type or parts.rows.are((await self._read_kinds(tally, kinds)).rows)):
            return parts
        return await self._until_seen(query)

    async def _read_kinds(self, tally: Tally, kinds: list[ActivityQuery]) -> Tally:
        parts: list[Tally] = []
        for kind in kinds:
            # A filter that also selects other types proves nothing.
            if not any(part.unexpected_type for part in parts) and sum(part.count for part in parts) <= tally.count:
                parts.append(await self._prove(kind))
        count = (await self._ask(replace(tally.query, size=1))).total_count
        is_sum = count == sum(part.count for part in parts) and not any(part.unexpected_type for part in parts)
        return replace(_joined(tally, parts), count=count, steady=is_sum)

    async def _until_seen(self, query: ActivityQuery) -> Tally:
        """Collect rows over several readings with the same count, including deep pages, as the query can't be split."""
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


def _joined(tally: Tally, parts: Iterable[Tally]) -> Tally:
    rows = Rows()
    for part in parts:
        rows.merge(part.rows)
    return Tally(tally.query, tally.count, rows, capped=tally.capped)


def looks_capped(count: int) -> bool:
    """Return whether a count may be a cap: a number such as 200, 1,500 or 10,000, or a power of two."""
    digits = str(count).rstrip("0")
    return count >= SMALLEST_CAP and (len(digits) == 1 or digits in {"15", "25"} or count.bit_count() == 1)


def _around_the_middle(tally: Tally) -> list[ActivityQuery]:
    """Return the queries before and after the middle row, each with rows. Empty if all rows are in one second."""
    moments = sorted(tally.rows.moments())
    if not moments:
        return []
    start, end = _span(tally.query)
    middle = _second(moments[len(moments) // 2])
    for cut in (middle, middle + _STEP):
        if start < cut < end and moments[0] < cut <= moments[-1]:
            return list(_cut(tally.query, cut))
    return []


def _window(query: ActivityQuery) -> str:
    params = query.params()
    return f"{params.get('created_at_after')} to {params.get('created_at_before')}"


def _span(query: ActivityQuery) -> tuple[datetime, datetime]:
    """Return the half-open window of a query with both bounds."""
    after, before = query.bounds
    return after + OVERLAP, before


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
    """Run a task group and raise its first failure directly instead of an exception group."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as failures:
        failure = failures.exceptions[0]
    else:
        return
    raise failure  # outside the handler, so that it is not chained to the group
