"""A window of time → all its activities, proved complete, or an error.

The proof holds the distinct ids received against Topo's own count, over the bounds that were asked,
before anything is filtered to the window. What a window means (a day, an hour) is for the caller.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import IncompleteWindow
from topo_pipeline.topo_api.wire import MAX_PAGE_SIZE, Activity, ActivityPage, ActivityQuery, Reject, to_utc

OVERLAP = timedelta(seconds=1)
"""Asked for before a window's start: the bound is exclusive and Topo promises no precision."""
SETTLING = timedelta(minutes=2)
"""What is younger may not be visible on every page yet."""


@dataclass(frozen=True)
class Window:
    """Half-open: [start, end), kept in UTC whatever zone they come in.

    Raises:
        ValueError: a bound has no time zone, or the end lies before the start.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        # In UTC, since arithmetic on local times goes wrong where clocks change.
        object.__setattr__(self, "start", to_utc(self.start))
        object.__setattr__(self, "end", to_utc(self.end))
        if self.end < self.start:
            raise ValueError(f"a window can't end ({self.end}) before it starts ({self.start})")

    def readable(self, now: datetime) -> "Window":
        """The part that can be read at `now`: up to two minutes before it, empty where that is too early."""
        return replace(self, end=max(self.start, min(self.end, to_utc(now) - SETTLING)))

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


@dataclass(frozen=True)
class Reading:
    """Everything in a window, proved complete when it was read."""

    window: Window
    asked_after: datetime
    """Exclusive; earlier than the window's start by the overlap."""
    asked_before: datetime
    """Exclusive."""
    total_count: int
    """Topo's count between the asked bounds: the overlap's activities are in it, not in the lists here."""
    activities: list[Activity]
    """Each id once, in order of time, then id."""
    rejects: list[Reject]
    """Those within the window, or of no readable instant."""
    requests: int
    """Requests it took, retries included."""


async def read_window(client: TopoClient, window: Window) -> Reading:
    """Every activity of `window`, also an empty window's count.

    Raises:
        IncompleteWindow: what was received is not what Topo counts.
        TopoError: Topo refused, or could not be reached.
    """
    query = ActivityQuery(created_at_after=window.start - OVERLAP, created_at_before=window.end)
    pages = await _read_pages(client, query, window)
    _prove(pages, window)
    activities = {activity.id: activity for page in pages for activity in page.activities}
    return Reading(
        window=window,
        asked_after=window.start - OVERLAP,
        asked_before=window.end,
        total_count=pages[0].total_count,
        activities=sorted(
            (activity for activity in activities.values() if activity.created_at in window),
            key=lambda activity: (activity.created_at, activity.id),
        ),
        rejects=[r for r in _distinct_rejects(pages) if r.created_at is None or r.created_at in window],
        requests=sum(page.requests for page in pages),
    )


async def _read_pages(client: TopoClient, query: ActivityQuery, window: Window) -> list[ActivityPage]:
    """All pages in the order in which they were received; stops at the first that can't fit the others."""
    first = await client.activities(query)
    pages = [first]
    last = -(-first.total_count // MAX_PAGE_SIZE)
    numbers = iter(range(2, last + 1))

    async def work() -> None:
        for number in numbers:  # shared: each number goes to one worker
            page = await client.activities(replace(query, page=number))
            pages.append(page)
            fault = _misfit(first, page)
            if fault:
                raise _incomplete(pages, window, f"page {number} {fault}, so reading stopped")

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(client.concurrency, last - 1)):
                group.create_task(work())
    except ExceptionGroup as failures:
        failure = failures.exceptions[0]
    else:
        return pages
    raise failure  # outside the handler: the group is nobody's concern


def _misfit(first: ActivityPage, page: ActivityPage) -> str:
    if page.total_count != first.total_count:
        return f"counts {page.total_count}"
    return "" if page.activities or page.rejects else "is empty"


def _prove(pages: list[ActivityPage], window: Window) -> None:
    if _distinct(pages) != pages[0].total_count:
        raise _incomplete(pages, window, "nothing of it is kept")


def _distinct(pages: list[ActivityPage]) -> int:
    """Distinct ids, plus the rows whose id can't be read: those can only be counted."""
    ids: set[str | None] = {activity.id for page in pages for activity in page.activities}
    ids |= {reject.id for page in pages for reject in page.rejects}
    return len(ids - {None}) + sum(reject.id is None for page in pages for reject in page.rejects)


def _incomplete(pages: list[ActivityPage], window: Window, because: str) -> IncompleteWindow:
    return IncompleteWindow(
        start=window.start,
        end=window.end,
        expected=pages[0].total_count,
        got=_distinct(pages),
        because=because,
        request_ids=[page.request_id for page in pages if page.request_id],
    )


def _distinct_rejects(pages: list[ActivityPage]) -> list[Reject]:
    rejects = [reject for page in pages for reject in page.rejects]
    named = {reject.id: reject for reject in rejects if reject.id is not None}
    return [*named.values(), *(reject for reject in rejects if reject.id is None)]
