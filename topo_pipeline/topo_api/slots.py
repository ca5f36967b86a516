"""A pool of exclusive resources. Waiting tasks get one by priority, not by arrival.

Requests whose answer leads to further requests need not wait, and the earlier of two parts in progress ends first.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from typing import Generic, TypeVar

_Thing = TypeVar("_Thing")


class Slots(Generic[_Thing]):
    """The free resources and the waiting tasks.

    Args:
        things: The resources.
    """

    def __init__(self, things: Iterable[_Thing]) -> None:
        self._free = [*things]
        self._came = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[_Thing]]] = []

    @asynccontextmanager
    async def one(self, turn: int) -> AsyncIterator[_Thing]:
        """Wait for a resource, most recently used first. Smaller turns go first, then earlier arrivals."""
        thing: asyncio.Future[_Thing] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (turn, next(self._came), thing))
        self._hand_out()
        try:
            await thing
        except asyncio.CancelledError:
            if thing.done() and not thing.cancelled():  # it was handed out at the same time
                self._give_back(thing.result())
            raise
        try:
            yield thing.result()
        finally:
            self._give_back(thing.result())

    def _give_back(self, thing: _Thing) -> None:
        self._free.append(thing)
        # Deferred: the task that returns it may request it again with a smaller turn.
        asyncio.get_running_loop().call_soon(self._hand_out)

    def _hand_out(self) -> None:
        while self._free and self._waiting:
            *_, waiting = heappop(self._waiting)
            if not waiting.done():
                waiting.set_result(self._free.pop())
