"""Read days in order, the next one while the caller lands the current one, so that requests don't pause.

This module decides when a day starts, keeps at most two days in memory, and cancels everything on exit. The meaning and
use of a reading belong in `ingest`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from anyio.from_thread import BlockingPortal

from topo_pipeline.warehouse.buffer import Buffer

_Day = TypeVar("_Day")
_Reading = TypeVar("_Reading")


@dataclass(frozen=True)
class _Started(Generic[_Day, _Reading]):
    day: _Day
    reading: Future[_Reading]
    buffer: Buffer
    its_turn: asyncio.Event
    next_turn: asyncio.Event


class Ahead(Generic[_Day, _Reading]):
    """Reads days into buffers. Use it as a context manager and request one day after the other.

    Args:
        portal: The portal to read in.
        read: Reads a day into a buffer. Calls its last argument once the next day may start.
    """

    def __init__(
        self, portal: BlockingPortal, read: Callable[[_Day, Buffer, Callable[[], None]], Awaitable[_Reading]]
    ) -> None:
        self._portal = portal
        self._read = read
        self._next: _Started[_Day, _Reading] | None = None
        self._in_progress: list[Future[_Reading]] = []
        self._buffers = ExitStack()
        self._free: list[Buffer] = []

    @contextmanager
    def reading(self, day: _Day, then: _Day | None) -> Iterator[_Reading]:
        """Wait for `day` and yield its reading, which is valid inside the block.

        `then` is the next day. It starts when this reading allows it, or when it is requested itself.

        Raises:
            WarehouseError: there is no room for the rows.
        """
        if self._next and self._next.day != day:
            self.give_up()
        started = self._next or self._start(day, asyncio.Event())
        self._portal.call(started.its_turn.set)
        self._next = None if then is None else self._start(then, started.next_turn)
        yield started.reading.result()
        self._in_progress.remove(started.reading)
        started.buffer.clear()
        self._free.append(started.buffer)

    def give_up(self) -> None:
        """Cancel the next day. It starts again if it is requested."""
        if self._next:
            self._next.reading.cancel()
            self._in_progress.remove(self._next.reading)
            self._next.buffer.close()  # the cancelled reading may still write to it for a moment
            self._next = None

    def _start(self, day: _Day, its_turn: asyncio.Event) -> _Started[_Day, _Reading]:
        buffer = self._free.pop() if self._free else self._buffers.enter_context(Buffer())
        next_turn = asyncio.Event()

        async def read() -> _Reading:
            await its_turn.wait()
            return await self._read(day, buffer, next_turn.set)

        started = _Started(day, self._portal.start_task_soon(read), buffer, its_turn, next_turn)
        self._in_progress.append(started.reading)
        return started

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for reading in self._in_progress:
            reading.cancel()
        self._buffers.close()
