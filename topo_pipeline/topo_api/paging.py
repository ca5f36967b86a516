"""Lists that come in pages, read until a page brings nothing new: what `has_more` says is a hint.

For lists that are optional and small. How a window of activities is read and proved is in `windows`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from topo_pipeline.topo_api.errors import TopoError
from topo_pipeline.topo_api.wire import ListPage

MAX_PAGES = 1000
MAX_SECONDS = 60.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class Listing(Generic[_T]):
    """What was read of a list.

    Attributes:
        items: the distinct ones.
        total_count: how many there are, as the last page says; None where it does not.
        stopped_by: why reading stopped before the end; None where it did not.
    """

    items: list[_T]
    total_count: int | None
    stopped_by: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing says that there are more, or fewer."""
        return self.stopped_by is None and self.total_count in (None, len(self.items))


async def read_list(
    ask: Callable[[int], Awaitable[ListPage[_T]]],
    id_of: Callable[[_T], str],
    *,
    most: int = MAX_PAGES,
    seconds: float = MAX_SECONDS,
) -> Listing[_T]:
    """Read a list as far as it can be read.

    Args:
        ask: Returns the page of a number, from 1 on.
        id_of: Of two items with one id, the later one counts.
        most: Pages that are read.
        seconds: After this time no further page is asked for.

    Raises:
        TopoError: the first page could not be read, or the key is refused.
    """
    found: dict[str, _T] = {}
    total: int | None = None
    deadline = asyncio.get_running_loop().time() + seconds
    for number in range(1, most + 1):
        try:
            page = await ask(number)
        except TopoError as error:
            if number == 1 or error.is_of_key:
                raise
            return Listing([*found.values()], total, str(error))
        before, total = len(found), page.total_count
        found |= {id_of(item): item for item in page.items}
        is_short = total is not None and len(found) < total
        if len(found) == before or not (page.has_more or is_short):
            return Listing([*found.values()], total)
        if asyncio.get_running_loop().time() > deadline:
            return Listing([*found.values()], total, f"no last page within {seconds:g} s")
    return Listing([*found.values()], total, f"no last page within {most:,} pages")
