"""The inputs and results of the decisions. `defs.records` reads the inputs from Dagster's records."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, TypeVar

import msgspec

from topo_pipeline.days import contiguous

_State = TypeVar("_State", bound=msgspec.Struct)


@dataclass(frozen=True)
class LastLoad:
    """The last load of a day, from the metadata of its latest materialization."""

    asked_after: datetime
    asked_before: datetime
    total_count: int  # Topo's count between these bounds at that time
    is_open: bool  # whether the load began before the day was closed


@dataclass(frozen=True)
class RunInProgress:
    """A queued or running run that reads the days from `first` to `last`, both included."""

    first: date
    last: date
    started_on: date | None = None
    """The earliest day that was not closed yet when the run started; None if it has not started."""

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    def closes(self, day: date) -> bool:
        """Return whether the run will land this day as a closed day."""
        return day in self and (self.started_on is None or day < self.started_on)


@dataclass(frozen=True)
class Request:
    """Consecutive days for one run to read."""

    first: date
    last: date
    key: str
    """Dagster's run key. Dagster never launches a second run for a key, so each key contains the time of the tick."""


@dataclass(frozen=True)
class Decision(Generic[_State]):
    """The result of a sensor's tick."""

    reason: str
    state: _State  # state for the next tick
    requests: tuple[Request, ...] = ()


def make_requests(days: Iterable[date], *, purpose: str, at: datetime) -> tuple[Request, ...]:
    """Return one request for each stretch of consecutive days. `at` is the time of the tick."""
    return tuple(
        Request(stretch[0], stretch[-1], f"{purpose} {stretch[0]}..{stretch[-1]} at {at.isoformat()}")
        for stretch in contiguous(days)
    )
