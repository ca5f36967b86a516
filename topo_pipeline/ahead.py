"""Reads one day after the other, the next one while its caller lands the last: Topo is asked without a pause.

What belongs here: that no more than one day is read, and one held, at a time, and that nothing goes on once it is left.
What does not: what a reading is, or what becomes of it (`ingest`).
"""

from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Generic, Self, TypeVar

from anyio.from_thread import BlockingPortal

from topo_pipeline.warehouse.spool import Spool

_Day = TypeVar("_Day")
_Reading = TypeVar("_Reading")


class Ahead(Generic[_Day, _Reading]):
    """What reads days into spools; to be entered, and days to be asked for in the order in which they were begun.

    Args:
        portal: Where it reads.
        read: Reads a day into a spool.
    """

    def __init__(self, portal: BlockingPortal, read: Callable[[_Day, Spool], Awaitable[_Reading]]) -> None:
        self._portal = portal
        self._read = read
        self._begun: tuple[Future[_Reading], Spool] | None = None
        self._spools = ExitStack()
        self._free: list[Spool] = []

    def begin(self, day: _Day) -> tuple[Future[_Reading], Spool]:
        """Begin to read a day; none is being read.

        Raises:
            WarehouseError: there is no room for what is read.
        """
        spool = self._free.pop() if self._free else self._spools.enter_context(Spool())
        self._begun = self._portal.start_task_soon(self._read, day, spool), spool
        return self._begun

    @contextmanager
    def reading(self, day: _Day) -> Iterator[_Reading]:
        """Wait for the day that was begun, or for this one if none was; yield what was read, to be had meanwhile."""
        under_way, spool = self._begun or self.begin(day)
        read = under_way.result()
        self._begun = None
        yield read
        spool.clear()
        self._free.append(spool)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._begun:
            self._begun[0].cancel()
        self._spools.close()
