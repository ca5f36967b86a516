"""What the decisions go by, and what they come to. `defs.records` reads the facts off Dagster's records."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, TypeVar

import msgspec

from topo_pipeline.days import contiguous

_Memory = TypeVar("_Memory", bound=msgspec.Struct)


@dataclass(frozen=True)
class LastLoad:
    """How a day was last landed, as its latest materialisation tells."""

    asked_after: datetime
    asked_before: datetime
    total_count: int
    """Topo's count between these bounds, then."""
    is_open: bool
    """Whether it was landed before it was closed."""


@dataclass(frozen=True)
class UnderWay:
    """A run that reads the days from `first` to `last`, both included, and has not ended: queued or running."""

    first: date
    last: date
    begun_on: date | None = None
    """The earliest day that was not closed yet when it began; None while it has not begun."""

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    def closes(self, day: date) -> bool:
        """Whether what it lands of the day will be the closed day."""
        return day in self and (self.begun_on is None or day < self.begun_on)


@dataclass(frozen=True)
class Request:
    """Days in a row that one run is to read."""

    first: date
    last: date
    key: str
    """Dagster remembers it for ever, and starts no second run for it: the tick is in it."""


@dataclass(frozen=True)
class Decision(Generic[_Memory]):
    """What a sensor's tick comes to."""

    why: str
    memory: _Memory
    """For the next tick."""
    requests: tuple[Request, ...] = ()


def requests(days: Iterable[date], *, why: str, at: datetime) -> tuple[Request, ...]:
    """One request for each stretch of days without a gap, made at the tick `at`."""
    return tuple(
        Request(stretch[0], stretch[-1], f"{why} {stretch[0]}..{stretch[-1]} at {at.isoformat()}")
        for stretch in contiguous(days)
    )
