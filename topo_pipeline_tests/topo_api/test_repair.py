"""Torn windows are repaired or refused, whatever happens between two requests; and at what price."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topo_pipeline.topo_api import repair
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import IncompleteWindow
from topo_pipeline.topo_api.windows import Reading, Window, read_window
from topo_pipeline.topo_api.wire import Activity, ActivityPage, ActivityQuery
from topo_pipeline_tests.topo_api.helpers import is_selected, uuid_of

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = Window(START, START + timedelta(days=1))
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
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
    tell: Callable[[int, ActivityQuery], int] = lambda count, _: count
    concurrency: int = 4
    asked: list[ActivityQuery] = field(default_factory=list)

    async def activities(self, query: ActivityQuery) -> ActivityPage:
        await asyncio.sleep(0)  # lets the other tasks ask in between
        self.change(query)
        self.asked.append(query)
        found = [row for row in self.rows if _is_meant(row, query)]
        if self.ties:
            self.ties.shuffle(found)
        found.sort(key=lambda row: row.at)
        size = min(query.size, self.page_size)
        shown = found[(query.page - 1) * size : query.page * size]
        count = self.tell(len(found), query)
        return ActivityPage(
            activities=[Activity(row.id, row.at, "{}") for row in shown],
            rejects=[],
            total_count=count,
            total_pages=-(-count // size),
            has_more=query.page * size < count,
            request_id=f"req_{len(self.asked)}",
        )

    def read(self, window: Window = DAY, **options: Any) -> Reading:
        return asyncio.run(read_window(cast(TopoClient, self), window, **options))

    def refuse(self, window: Window = DAY, **options: Any) -> IncompleteWindow:
        with pytest.raises(IncompleteWindow) as caught:
            self.read(window, **options)
        return caught.value


def _is_meant(row: Row, query: ActivityQuery) -> bool:
    assert query.created_at_after
    assert query.created_at_before
    return query.created_at_after < row.at < query.created_at_before and is_selected(row.type, query.params())


def ids_of(reading: Reading) -> list[str]:
    return [activity.id for activity in reading.activities]


def spread(count: int, over: timedelta = timedelta(days=1), start: datetime = START) -> list[Row]:
    return [Row(number, start + over * number / count) for number in range(count)]


def at_once(count: int, types: tuple[str, ...] = ("message.sent",), at: datetime = START + HOUR) -> list[Row]:
    return [Row(number, at, types[number % len(types)]) for number in range(count)]


def all_of(rows: list[Row]) -> list[str]:
    return [row.id for row in sorted(rows, key=lambda row: (row.at, row.id))]


def excess(world: World) -> float:
    """Requests beyond the pages needed, as a share of them."""
    return len(world.asked) / max(1, -(-len(world.rows) // 100)) - 1


# A world that changes between any two requests


@dataclass
class History:
    """What happens to a world: births or deaths before each request, except what no count can see.

    That is both, between two requests of one query whose pages are being read; such a step is left out.
    """

    world: World
    steps: Iterator[list[Any] | None]
    depth: int
    ever: set[Row] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1000, 100_000)))
    under_way: dict[ActivityQuery, tuple[set[int], set[bool]]] = field(default_factory=dict)
    """Per query: the pages still to come, and whether births or deaths came since its last request."""

    def __post_init__(self) -> None:
        self.ever |= set(self.world.rows)
        self.world.change = self.go_on

    def go_on(self, query: ActivityQuery) -> None:
        step = next(self.steps, None)
        is_birth = bool(step) and isinstance(step[0], tuple)
        if step and all(since <= {is_birth} for _, since in self.under_way.values()):
            self._take(step, is_birth)
        self._note(query)

    def _take(self, step: list[Any], is_birth: bool) -> None:
        for each in step:
            if is_birth:
                self.world.rows.append(Row(next(self.numbers), _moment(each[0]), each[1]))
            elif self.world.rows:
                self.world.rows.pop(each % len(self.world.rows))
        self.ever |= set(self.world.rows)
        for _, since in self.under_way.values():
            since.add(is_birth)

    def _note(self, query: ActivityQuery) -> None:
        whole = replace(query, page=1, size=100)
        pages = -(-sum(_is_meant(row, query) for row in self.world.rows) // self.world.page_size)
        to_come = set(range(2, pages + 1)) if query.page == 1 else self.under_way.get(whole, (set(), set()))[0]
        to_come -= {query.page}
        assert query.created_at_after
        assert query.created_at_before
        is_instant = query.created_at_before - query.created_at_after <= 2 * SECOND  # may be read again and again
        if is_instant or (to_come and pages <= self.depth):
            self.under_way[whole] = (to_come, set())
        else:
            self.under_way.pop(whole, None)


def _moment(halves: int) -> datetime:
    return START + halves * SECOND / 2


_rows = st.lists(
    st.tuples(st.sampled_from([-3, -2, -1, 0, 1, 2, 8, 8, 8, 9, 10, 15, 31, 32, 33]), st.sampled_from(KNOWN + UNKNOWN)),
    max_size=40,
)
_few = st.lists(st.tuples(st.integers(-2, 32), st.sampled_from(KNOWN + UNKNOWN)), min_size=1, max_size=2)
_change = st.one_of(st.none(), st.none(), st.lists(st.integers(0, 99), min_size=1, max_size=2), _few)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    _rows, st.lists(_change, max_size=40), st.integers(1, 3), st.one_of(st.none(), st.randoms(use_true_random=False))
)
def test_a_moving_world_is_read_right_or_refused(
    rows: list[tuple[int, str]], script: list[Any], depth: int, ties: Random | None
) -> None:
    initial = [Row(number, _moment(at), type_) for number, (at, type_) in enumerate(rows)]
    world = World(list(initial), ties=ties, page_size=4)
    history = History(world, iter(script), depth)
    window = Window(START, START + 16 * SECOND)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repair, "MAX_PAGE_SIZE", 4)
        try:
            got, refused = ids_of(world.read(window, depth=depth)), False
        except IncompleteWindow as error:
            got, refused = ids_of(error.reading), True
    throughout = {row.id for row in initial if row in world.rows and row.at in window}
    assert len(got) == len(set(got))
    assert set(got) <= {row.id for row in history.ever if row.at in window}
    assert refused or throughout <= set(got)
    assert not (refused and not any(script) and ties is None)
    assert len(world.asked) < 3000


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(_rows, st.integers(1, 3), st.integers(0, 2**32))
def test_a_world_at_rest_is_read_exactly_however_its_ties_are_ordered(
    rows: list[tuple[int, str]], depth: int, seed: int
) -> None:
    window = Window(START, START + 16 * SECOND)
    world = World([Row(n, _moment(at), type_) for n, (at, type_) in enumerate(rows)], ties=Random(seed), page_size=4)  # noqa: S311
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repair, "MAX_PAGE_SIZE", 4)
        patch.setattr(repair, "ROUNDS", 100)
        reading = world.read(window, depth=depth)
    assert ids_of(reading) == all_of([row for row in world.rows if row.at in window])
    assert reading.requests == len(world.asked)
