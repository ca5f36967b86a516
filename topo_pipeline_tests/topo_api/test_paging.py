"""A list is read until a page brings nothing new, and no further than its limits."""

import asyncio
import itertools

import pytest

from topo_pipeline.topo_api.paging import Listing, read_list
from topo_pipeline.topo_api.wire import ListPage


def endless(**limits: float) -> tuple[Listing[str], int]:
    """Read a list of which each page brings something new; return how many pages were asked for, too."""
    asked = itertools.count(1)

    async def ask(page: int) -> ListPage[str]:
        return ListPage([f"item {next(asked)}"], 10**9, has_more=True)

    listing = asyncio.run(read_list(ask, str, **limits))  # type: ignore[arg-type]
    return listing, next(asked) - 1


@pytest.mark.parametrize(
    ("limits", "pages", "says"),
    [
        ({"most": 7}, 7, "the end was not reached within 7 pages"),
        ({"seconds": -1}, 1, "the end was not reached within -1 s"),
    ],
)
def test_a_list_without_an_end_is_read_to_its_limit_and_kept(limits: dict[str, int], pages: int, says: str) -> None:
    listing, asked = endless(**limits)
    assert (len(listing.items), asked) == (pages, pages)
    assert listing.stopped_by == says
    assert not listing.is_whole


def test_of_an_item_that_comes_twice_the_later_one_counts() -> None:
    pages = [ListPage([("a", 1), ("b", 1)], 3, has_more=True), ListPage([("b", 2), ("c", 1)], 3, has_more=False)]

    async def ask(page: int) -> ListPage[tuple[str, int]]:
        return pages[page - 1]

    listing = asyncio.run(read_list(ask, lambda item: item[0]))
    assert listing == Listing([("a", 1), ("b", 2), ("c", 1)], 3)
    assert listing.is_whole
