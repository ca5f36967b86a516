"""Read days in order, the next one while the caller lands the current one, so that requests don't pause.

At most two days are held at a time, and leaving cancels everything. What a reading is belongs in `loading`.
"""

from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from anyio.from_thread import BlockingPortal

from topo_pipeline.warehouse.buffer import Buffer

_Day = TypeVar("_Day")
_Reading = TypeVar("_Reading")


@dataclass(frozen=True)
class _Started(Generic[_Reading]):
    reading: Future[_Reading]
    buffer: Buffer


class Prefetch(Generic[_Day, _Reading]):
    """Reads days into buffers with `read`. Use it as a context manager: start the next day while one is landed."""

    def __init__(self, portal: BlockingPortal, read: Callable[[_Day, Buffer], Awaitable[_Reading]]) -> None:
        self._portal = portal
        self._read = read
        self._next: _Started[_Reading] | None = None
        self._buffers = ExitStack()
        self._free: list[Buffer] = []

    @contextmanager
    def reading(self, day: _Day) -> Iterator[_Reading]:
        """Wait for `day`, which may have been started, and yield its reading, which is valid inside the block.

        Raises:
            WarehouseError: there is no room for the rows.
        """
        started = self._next or self.start(day)
        # A signal that arrives just as a wait begins is handled when the wait ends, so no wait is long.
        while not wait([started.reading], timeout=1).done:
            pass
        reading = started.reading.result()
        self._next = None
        yield reading
        started.buffer.clear()
        self._free.append(started.buffer)

    def start(self, day: _Day) -> _Started[_Reading]:
        """Start to read `day`, which must be the next one that `reading` is called with."""
        buffer = self._free.pop() if self._free else self._buffers.enter_context(Buffer())
        self._next = _Started(self._portal.start_task_soon(self._read, day, buffer), buffer)
        return self._next

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._next:
            self._next.reading.cancel()
        self._buffers.close()
