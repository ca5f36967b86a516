"""A world of activities that answers as the API does, and may change between any two requests."""

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
from topo_pipeline.topo_api.windows import read_window
from topo_pipeline.topo_api.wire import Activity, ActivityPage, ActivityQuery
from topo_pipeline_tests.topo_api.helpers import is_selected, uuid_of

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = Window(START, START + timedelta(days=1))
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
MOMENT = timedelta(milliseconds=125)
"""So that times are not taken for rounded ones."""
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
class World:
    """Topo's contract in this process: strict bounds, order by instant, pages, filters; it may change at each request.

    `ties` draws the order of equal instants anew for each request; `tell` may falsify a count.
    """

    rows: list[Row]
    change: Callable[[ActivityQuery], None] = lambda _: None
    ties: Random | None = None
    page_size: int = 100
    tell: Callable[[int, ActivityQuery], int] = lambda number, _: number
    concurrency: int = 4
    asked: list[ActivityQuery] = field(default_factory=list)

    async def activities(self, query: ActivityQuery) -> ActivityPage:
        await asyncio.sleep(0)  # lets the other tasks ask in between
        self.change(query)
        self.asked.append(query)
        found = meant(self.rows, query)
        if self.ties:
            self.ties.shuffle(found)
        found.sort(key=lambda row: row.at)
        size = min(query.size, self.page_size)
        shown = found[(query.page - 1) * size : query.page * size]
        told = self.tell(len(found), query)
        return ActivityPage(
            activities=[Activity(row.id, row.at, f'{{"type": "{row.type}"}}') for row in shown],
            rejects=[],
            total_count=told,
            total_pages=-(-told // size),
            has_more=query.page * size < told,
            request_id=f"req_{len(self.asked)}",
        )

    def read(self, window: Window = DAY, **options: Any) -> Reading:
        return asyncio.run(read_window(cast(TopoClient, self), window, **options))

    def refuse(self, window: Window = DAY, **options: Any) -> IncompleteWindow:
        with pytest.raises(IncompleteWindow) as caught:
            self.read(window, **options)
        return caught.value


def meant(rows: list[Row], query: ActivityQuery) -> list[Row]:
    after, before, params = query.created_at_after, query.created_at_before, query.params()
    assert after
    assert before
    types = {type_ for type_ in {row.type for row in rows} if is_selected(type_, params)}
    return [row for row in rows if after < row.at < before and row.type in types]


def ids_of(reading: Reading) -> list[str]:
    return [activity.id for activity in reading.activities]


def spread(count: int, over: timedelta = timedelta(days=1), start: datetime = START) -> list[Row]:
    return [Row(number, start + over * number / count) for number in range(count)]


def at_once(count: int, types: tuple[str, ...] = ("message.sent",), at: datetime = START + HOUR + MOMENT) -> list[Row]:
    return [Row(number, at, types[number % len(types)]) for number in range(count)]


def all_of(rows: list[Row]) -> list[str]:
    return [row.id for row in sorted(rows, key=lambda row: (row.at, row.id))]


def excess(world: World) -> Fraction:
    """Requests beyond the pages needed, as a share of them."""
    return Fraction(len(world.asked), max(1, -(-len(world.rows) // 100))) - 1


# A world that changes between any two requests
