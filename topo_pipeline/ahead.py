"""Reads one day after the other, the next one while its caller lands the last: Topo is asked without a pause.

What belongs here: when a day is begun, that no more than two are held at a time, and that nothing goes on once it is
left. What does not: what a reading is, or what becomes of it (`ingest`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from anyio.from_thread import BlockingPortal

from topo_pipeline.warehouse.spool import Spool

_Day = TypeVar("_Day")
_Reading = TypeVar("_Reading")


@dataclass(frozen=True)
class _Begun(Generic[_Day, _Reading]):
    day: _Day
    reading: Future[_Reading]
    spool: Spool
    its_turn: asyncio.Event
    next_turn: asyncio.Event


class Ahead(Generic[_Day, _Reading]):
    """What reads days into spools; to be entered, and days to be asked for one after the other.

    Args:
        portal: Where it reads.
        read: Reads a day into a spool, and calls what it is given last once the next day may be begun beside it.
    """

    def __init__(
        self, portal: BlockingPortal, read: Callable[[_Day, Spool, Callable[[], None]], Awaitable[_Reading]]
    ) -> None:
        self._portal = portal
        self._read = read
        self._next: _Begun[_Day, _Reading] | None = None
        self._under_way: list[Future[_Reading]] = []
        self._spools = ExitStack()
        self._free: list[Spool] = []

    @contextmanager
    def reading(self, day: _Day, then: _Day | None) -> Iterator[_Reading]:
        """Wait for `day`; yield what was read, to be had meanwhile.

        `then` waits for its turn: until this reading says so, or until it is asked for itself.

        Raises:
            WarehouseError: there is no room for what is read.
        """
        if self._next and self._next.day != day:
            self.give_up()
        begun = self._next or self._begin(day, asyncio.Event())
        self._portal.call(begun.its_turn.set)
        self._next = None if then is None else self._begin(then, begun.next_turn)
        yield begun.reading.result()
        self._under_way.remove(begun.reading)
        begun.spool.clear()
        self._free.append(begun.spool)

    def give_up(self) -> None:
        """Let go of what was begun beside the day that was asked for last; it is begun anew if it is asked for."""
        if self._next:
            self._next.reading.cancel()
            self._under_way.remove(self._next.reading)
            self._next.spool.close()  # it may still be written to, for a moment
            self._next = None

    def _begin(self, day: _Day, its_turn: asyncio.Event) -> _Begun[_Day, _Reading]:
        spool = self._free.pop() if self._free else self._spools.enter_context(Spool())
        next_turn = asyncio.Event()

        async def read() -> _Reading:
            await its_turn.wait()
            return await self._read(day, spool, next_turn.set)

        begun = _Begun(day, self._portal.start_task_soon(read), spool, its_turn, next_turn)
        self._under_way.append(begun.reading)
        return begun

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for reading in self._under_way:
            reading.cancel()
        self._spools.close()
