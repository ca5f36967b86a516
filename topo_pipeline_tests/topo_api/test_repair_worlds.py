"""Whatever the world does while it is read: the reading is right, or it is refused."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topo_pipeline.days import Window
from topo_pipeline.topo_api import repair
from topo_pipeline.topo_api.errors import IncompleteWindow
from topo_pipeline.topo_api.wire import ActivityQuery
from topo_pipeline_tests.topo_api.worlds import KNOWN, SECOND, START, UNKNOWN, Row, World, all_of, ids_of, meant


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
        pages = -(-len(meant(self.world.rows, query)) // self.world.page_size)
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


@settings(max_examples=300)
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


# What it costs
