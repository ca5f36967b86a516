"""Reading a list until a page has nothing new, or to its limits."""

import asyncio
import itertools

import pytest

from topo_pipeline.topo_api.paging import Listing, read_list
from topo_pipeline.topo_api.wire import ListItem, ListPage, SequenceTemplate


def read_endless_list(**limits: float) -> tuple[Listing[ListItem], int]:
    """Read a list whose every page has a new item. Also return the number of pages that were requested."""
    asked = itertools.count(1)

    async def ask(page: int) -> ListPage[ListItem]:
        return ListPage([ListItem(id=f"item {next(asked)}")], 10**9, has_more=True)

    listing = asyncio.run(read_list(ask, **limits))  # type: ignore[arg-type]
    return listing, next(asked) - 1


@pytest.mark.parametrize(
    ("limits", "pages", "expected"),
    [
        ({"most": 7}, 7, "the end was not reached within 7 pages"),
        ({"seconds": -1}, 1, "the end was not reached within -1 s"),
    ],
)
def test_an_endless_list_is_read_to_its_limit_and_kept(limits: dict[str, int], pages: int, expected: str) -> None:
    listing, asked = read_endless_list(**limits)
    assert (len(listing.items), asked) == (pages, pages)
    assert listing.stopped_by == expected
    assert not listing.is_whole


def test_the_later_of_two_items_with_the_same_id_is_kept() -> None:
    a, b, c, later_b = (SequenceTemplate(id=id_, name=name) for id_, name in ("a1", "b1", "c1", "b2"))
    pages = [ListPage([a, b], 3, has_more=True), ListPage([later_b, c], 3, has_more=False)]

    async def ask(page: int) -> ListPage[SequenceTemplate]:
        return pages[page - 1]

    listing = asyncio.run(read_list(ask))
    assert listing == Listing([a, later_b, c], 3)
    assert listing.is_whole
