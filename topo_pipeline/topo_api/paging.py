"""Read a paged list until a page has nothing new. `has_more` is only a hint.

For small, optional lists. Reading and proving a window of activities is in `windows`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from topo_pipeline.topo_api.errors import TopoError
from topo_pipeline.topo_api.wire import ListItem, ListPage

MAX_PAGES = 1000
MAX_SECONDS = 60.0

_I = TypeVar("_I", bound=ListItem)


@dataclass(frozen=True)
class Listing(Generic[_I]):
    """The distinct items of a list that were read."""

    items: list[_I]
    total_count: int | None
    """The count on the last page. None if it has none."""
    stopped_by: str | None = None
    """Why reading stopped before the end. None if it reached the end."""

    @property
    def is_whole(self) -> bool:
        """Whether the end was reached and the count matches."""
        return self.stopped_by is None and self.total_count in (None, len(self.items))


async def read_list(
    ask: Callable[[int], Awaitable[ListPage[_I]]], *, most: int = MAX_PAGES, seconds: float = MAX_SECONDS
) -> Listing[_I]:
    """Read a list as far as possible: at most `most` pages, none of them requested after `seconds`.

    `ask` returns the page with a number, starting at 1. Of two items with the same id, the later one counts.

    Raises:
        TopoError: the first page could not be read, or the key is refused.
    """
    found: dict[str, _I] = {}
    total: int | None = None
    now = asyncio.get_running_loop().time
    deadline = now() + seconds
    for number in range(1, most + 1):
        try:
            page = await ask(number)
        except TopoError as error:
            if number == 1 or error.is_key_refused:
                raise
            return Listing([*found.values()], total, str(error))
        before, total = len(found), page.total_count
        found |= {item.id: item for item in page.items}
        is_short = total is not None and len(found) < total
        if len(found) == before or not (page.has_more or is_short):
            return Listing([*found.values()], total)
        if now() > deadline:
            return Listing([*found.values()], total, f"the end was not reached within {seconds:g} s")
    return Listing([*found.values()], total, f"the end was not reached within {most:,} pages")
