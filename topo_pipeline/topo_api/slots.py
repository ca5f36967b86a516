"""Things that one user at a time can have; who waits gets one by precedence, not by patience.

So what opens the way (where more is known once it is answered) needn't stand in line, and of two parts that are read at
once the earlier one is soon over.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from typing import Generic, TypeVar

_Thing = TypeVar("_Thing")


class Slots(Generic[_Thing]):
    """What is to be had, and who waits for it.

    Args:
        things: What there is.
    """

    def __init__(self, things: Iterable[_Thing]) -> None:
        self._free = [*things]
        self._came = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[_Thing]]] = []

    @asynccontextmanager
    async def one(self, turn: int) -> AsyncIterator[_Thing]:
        """Have the one that was used last, once nobody of a smaller turn waits, nor of this one who came before."""
        thing: asyncio.Future[_Thing] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (turn, next(self._came), thing))
        self._hand_out()
        try:
            await thing
        except asyncio.CancelledError:
            if thing.done() and not thing.cancelled():  # it was handed out in the same moment
                self._give_back(thing.result())
            raise
        try:
            yield thing.result()
        finally:
            self._give_back(thing.result())

    def _give_back(self, thing: _Thing) -> None:
        self._free.append(thing)
        # Not at once: who gives it back may be about to ask for the next, with the better right to it.
        asyncio.get_running_loop().call_soon(self._hand_out)

    def _hand_out(self) -> None:
        while self._free and self._waiting:
            *_, waiting = heappop(self._waiting)
            if not waiting.done():
                waiting.set_result(self._free.pop())
