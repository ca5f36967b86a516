"""Counting a window with small requests, with and without a cap on counts."""

import asyncio
from typing import cast

import pytest

from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.counting import count
from topo_pipeline.topo_api.wire import ActivityQuery
from topo_pipeline_tests.topo_api.in_memory_api import DAY, InMemoryApi, rows_at_one_time, spread_rows

WHOLE = ActivityQuery(created_at_after=DAY.start, created_at_before=DAY.end)


def counted(api: InMemoryApi, expected: int | None = None) -> int:
    return asyncio.run(count(cast(TopoClient, api), WHOLE, expected))


@pytest.mark.parametrize("rows", [0, 1, 99, 102, 350])
def test_a_count_that_cannot_be_a_cap_takes_one_small_request(rows: int) -> None:
    api = InMemoryApi(spread_rows(rows)[1:] if rows else [])
    assert counted(api) == max(0, rows - 1)
    assert [query.size for query in api.queries] == [1]


def test_a_round_count_is_compared_with_its_halves() -> None:
    api = InMemoryApi(spread_rows(201)[1:])
    assert counted(api) == 200
    assert len(api.queries) == 4


def test_an_expected_round_count_is_not_compared() -> None:
    api = InMemoryApi(spread_rows(201)[1:])
    assert counted(api, expected=200) == 200
    assert len(api.queries) == 1


@pytest.mark.parametrize("cap", [100, 200, 1000])
def test_a_capped_window_is_counted_in_parts(cap: int) -> None:
    api = InMemoryApi(spread_rows(2346)[1:], report_count=lambda number, _: min(number, cap))
    assert counted(api) == 2345
    assert len(api.queries) < 8 * 2346 / cap + 4


def test_parts_too_short_to_split_count_at_least_the_cap() -> None:
    api = InMemoryApi(rows_at_one_time(350), report_count=lambda number, _: min(number, 100))
    assert 100 <= counted(api) <= 350
    assert len(api.queries) < 100
