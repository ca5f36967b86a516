"""Property tests: a window whose rows change while it is read is read correctly or refused."""

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
from topo_pipeline_tests.topo_api.in_memory_api import (
    KNOWN,
    SECOND,
    START,
    UNKNOWN,
    InMemoryApi,
    ListStore,
    Row,
    ids_in_order,
    ids_of,
    selected_rows,
)


@dataclass
class History:
    """Rows are added or removed before each request, except in ways that no count shows.

    No count shows both between two requests for pages of the same query: such a step is left out.
    """

    api: InMemoryApi
    steps: Iterator[list[Any] | None]
    depth: int
    all_rows: set[Row] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1000, 100_000)))
    open_queries: dict[ActivityQuery, tuple[set[int], set[bool]]] = field(default_factory=dict)
    """Per query: the pages still to read, and whether rows were added or removed since its last request."""

    def __post_init__(self) -> None:
        self.all_rows |= set(self.api.rows)
        self.api.on_request = self.on_request

    def on_request(self, query: ActivityQuery) -> None:
        step = next(self.steps, None)
        adds = bool(step) and isinstance(step[0], tuple)
        if step and all(since <= {adds} for _, since in self.open_queries.values()):
            self._apply(step, adds)
        self._track(query)

    def _apply(self, step: list[Any], adds: bool) -> None:
        for each in step:
            if adds:
                self.api.rows.append(Row(next(self.numbers), _time(each[0]), each[1]))
            elif self.api.rows:
                self.api.rows.pop(each % len(self.api.rows))
        self.all_rows |= set(self.api.rows)
        for _, since in self.open_queries.values():
            since.add(adds)

    def _track(self, query: ActivityQuery) -> None:
        whole = replace(query, page=1, size=100)
        pages = -(-len(selected_rows(self.api.rows, query)) // self.api.page_size)
        pages_left = set(range(2, pages + 1)) if query.page == 1 else self.open_queries.get(whole, (set(), set()))[0]
        pages_left -= {query.page}
        assert query.created_at_after
        assert query.created_at_before
        is_instant = query.created_at_before - query.created_at_after <= 2 * SECOND  # may be read many times
        if is_instant or (pages_left and pages <= self.depth):
            self.open_queries[whole] = (pages_left, set())
        else:
            self.open_queries.pop(whole, None)


def _time(halves: int) -> datetime:
    return START + halves * SECOND / 2


_rows = st.lists(
    st.tuples(st.sampled_from([-3, -2, -1, 0, 1, 2, 8, 8, 8, 9, 10, 15, 31, 32, 33]), st.sampled_from(KNOWN + UNKNOWN)),
    max_size=40,
)
_new_rows = st.lists(st.tuples(st.integers(-2, 32), st.sampled_from(KNOWN + UNKNOWN)), min_size=1, max_size=2)
_change = st.one_of(st.none(), st.none(), st.lists(st.integers(0, 99), min_size=1, max_size=2), _new_rows)


@pytest.mark.parametrize("examples", [80, pytest.param(300, marks=pytest.mark.full)])
def test_a_window_that_changes_while_it_is_read_is_read_correctly_or_refused(examples: int) -> None:
    ties = st.one_of(st.none(), st.randoms(use_true_random=False))
    changes = st.lists(_change, max_size=40)
    check = given(_rows, changes, st.integers(1, 3), ties, st.booleans())(assert_read_correctly_or_refused)
    settings(max_examples=examples)(check)()


def assert_read_correctly_or_refused(
    rows: list[tuple[int, str]], script: list[Any], depth: int, ties: Random | None, is_stored: bool
) -> None:
    initial = [Row(number, _time(at), type_) for number, (at, type_) in enumerate(rows)]
    api = InMemoryApi(list(initial), ties=ties, page_size=4)
    history = History(api, iter(script), depth)
    window = Window(START, START + 16 * SECOND)
    store = ListStore(window)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repair, "MAX_PAGE_SIZE", 4)
        try:
            reading, refused = api.read(window, depth=depth, **({"store": store} if is_stored else {})), False
        except IncompleteWindow as error:
            reading, refused = error.reading, True
    got = store.ids_with(reading)
    in_margins = {activity.id for activity in reading.overlap}
    assert reading.received == len({*got, *in_margins})
    throughout = {row.id for row in initial if row in api.rows and row.at in window}
    assert len(got) == len(set(got))
    assert set(got) <= {row.id for row in history.all_rows if row.at in window}
    assert refused or throughout <= set(got)
    assert not (refused and not any(script) and ties is None)
    assert len(api.queries) < 3000


@given(_rows, st.integers(1, 3), st.integers(0, 2**32))
def test_an_unchanging_window_is_read_exactly_with_ties_in_random_order(
    rows: list[tuple[int, str]], depth: int, seed: int
) -> None:
    window = Window(START, START + 16 * SECOND)
    api = InMemoryApi([Row(n, _time(at), type_) for n, (at, type_) in enumerate(rows)], ties=Random(seed), page_size=4)  # noqa: S311
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repair, "MAX_PAGE_SIZE", 4)
        patch.setattr(repair, "ROUNDS", 100)
        reading = api.read(window, depth=depth)
    assert ids_of(reading) == ids_in_order([row for row in api.rows if row.at in window])
    assert reading.requests == len(api.queries)
