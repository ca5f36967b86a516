"""A window is counted by small requests, also where no count exceeds a cap."""

import asyncio
from typing import cast

import pytest

from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.counting import count
from topo_pipeline.topo_api.wire import ActivityQuery
from topo_pipeline_tests.topo_api.worlds import DAY, World, at_once, spread

WHOLE = ActivityQuery(created_at_after=DAY.start, created_at_before=DAY.end)


def counted(world: World, expected: int | None = None) -> int:
    return asyncio.run(count(cast(TopoClient, world), WHOLE, expected))


@pytest.mark.parametrize("rows", [0, 1, 99, 102, 350])
def test_a_count_that_can_be_no_cap_costs_one_small_request(rows: int) -> None:
    world = World(spread(rows)[1:] if rows else [])
    assert counted(world) == max(0, rows - 1)
    assert [query.size for query in world.asked] == [1]


def test_a_round_count_is_compared_with_its_halves() -> None:
    world = World(spread(201)[1:])
    assert counted(world) == 200
    assert len(world.asked) == 4


def test_a_round_count_that_is_expected_is_not() -> None:
    world = World(spread(201)[1:])
    assert counted(world, expected=200) == 200
    assert len(world.asked) == 1


@pytest.mark.parametrize("cap", [100, 200, 1000])
def test_under_a_cap_the_parts_are_counted(cap: int) -> None:
    world = World(spread(2346)[1:], tell=lambda number, _: min(number, cap))
    assert counted(world) == 2345
    assert len(world.asked) < 8 * 2346 / cap + 4


def test_where_parts_are_too_short_to_be_split_the_cap_is_what_is_known() -> None:
    world = World(at_once(350), tell=lambda number, _: min(number, 100))
    assert 100 <= counted(world) <= 350
    assert len(world.asked) < 100
