"""A fake client with rows in memory, which may change between any two requests."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any, cast

import pytest

from topo_pipeline.days import Window
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import IncompleteWindow
from topo_pipeline.topo_api.reading import Reading
from topo_pipeline.topo_api.tally import Rows, Store
from topo_pipeline.topo_api.windows import MARGIN, read_window
from topo_pipeline.topo_api.wire import Activity, ActivityPage, ActivityQuery
from topo_pipeline_tests.topo_api.helpers import is_selected, uuid_of

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = Window(START, START + timedelta(days=1))
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
MOMENT = timedelta(milliseconds=125)
"""Added to times so that they don't look rounded."""
KNOWN = ("message.sent", "message.opened", "message.replied", "task.created", "invitation.sent")
UNKNOWN = ("weather.changed", "message.purred")


@dataclass(frozen=True)
class Row:
    number: int
    at: datetime
    type: str = "message.sent"

    @property
    def id(self) -> str:
        return uuid_of(self.number)


@dataclass
class InMemoryApi:
    """Topo's contract without HTTP: exclusive bounds, order by time, pages, filters.

    `on_request` is called before each request and may change the rows. With `ties`, each request orders equal times at
    random. `report_count` may change a count.
    """

    rows: list[Row]
    on_request: Callable[[ActivityQuery], None] = lambda _: None
    ties: Random | None = None
    page_size: int = 100
    report_count: Callable[[int, ActivityQuery], int] = lambda number, _: number
    concurrency: int = 4
    queries: list[ActivityQuery] = field(default_factory=list)

    async def activities(self, query: ActivityQuery) -> ActivityPage:
        await asyncio.sleep(0)  # lets other tasks send requests in between
        self.on_request(query)
        self.queries.append(query)
        found = selected_rows(self.rows, query)
        if self.ties:
            self.ties.shuffle(found)
        found.sort(key=lambda row: row.at)
        size = min(query.size, self.page_size)
        shown = found[(query.page - 1) * size : query.page * size]
        count = self.report_count(len(found), query)
        return ActivityPage(
            activities=[Activity(row.id, row.at, f'{{"type": "{row.type}"}}') for row in shown],
            rejects=[],
            total_count=count,
            total_pages=-(-count // size),
            has_more=query.page * size < count,
            request_id=f"req_{len(self.queries)}",
        )

    def read(self, window: Window = DAY, **options: Any) -> Reading:
        return asyncio.run(read_window(cast(TopoClient, self), window, **options))

    def read_refused(self, window: Window = DAY, **options: Any) -> IncompleteWindow:
        with pytest.raises(IncompleteWindow) as caught:
            self.read(window, **options)
        return caught.value


@dataclass
class ListStore(Store):
    """Takes the activities of a window as the loader does, into a list."""

    window: Window = DAY
    taken: list[Activity] = field(default_factory=list)

    def clear(self) -> None:
        self.taken.clear()

    async def take(self, rows: Rows) -> None:
        self.taken += rows.take(self.window.start + MARGIN, self.window.end - MARGIN)

    def ids_with(self, reading: Reading) -> list[str]:
        """Return the ids of the window's activities in order, each once."""
        activities = {activity.id: activity for activity in [*self.taken, *reading.activities]}.values()
        return [each.id for each in sorted(activities, key=lambda each: (each.created_at, each.id))]


def selected_rows(rows: list[Row], query: ActivityQuery) -> list[Row]:
    after, before, params = query.created_at_after, query.created_at_before, query.params()
    assert after
    assert before
    types = {type_ for type_ in {row.type for row in rows} if is_selected(type_, params)}
    return [row for row in rows if after < row.at < before and row.type in types]


def ids_of(reading: Reading) -> list[str]:
    return [activity.id for activity in reading.activities]


def spread_rows(count: int, over: timedelta = timedelta(days=1), start: datetime = START) -> list[Row]:
    return [Row(number, start + over * number / count) for number in range(count)]


def rows_at_one_time(
    count: int, types: tuple[str, ...] = ("message.sent",), at: datetime = START + HOUR + MOMENT
) -> list[Row]:
    return [Row(number, at, types[number % len(types)]) for number in range(count)]


def ids_in_order(rows: list[Row]) -> list[str]:
    return [row.id for row in sorted(rows, key=lambda row: (row.at, row.id))]


def excess(api: InMemoryApi) -> Fraction:
    """Return the requests in excess of the pages that are needed, as a share of these."""
    return Fraction(len(api.queries), max(1, -(-len(api.rows) // 100))) - 1
