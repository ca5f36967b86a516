"""A window of time, and what was read in it."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from topo_pipeline.topo_api.wire import Activity, Reject, to_utc

SETTLING = timedelta(minutes=2)
"""What is younger may not be visible on every page yet."""
FEW_UNREADABLE = 5
"""So many unreadable rows do not make a reading of many rows incomplete."""
UNREADABLE_SHARE = 0.01
"""Nor does this share of them."""


@dataclass(frozen=True)
class Window:
    """Half-open: [start, end), kept in UTC whatever zone they come in.

    Raises:
        ValueError: a bound has no time zone, or the end lies before the start.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        # In UTC, since arithmetic on local times goes wrong where clocks change.
        object.__setattr__(self, "start", to_utc(self.start))
        object.__setattr__(self, "end", to_utc(self.end))
        if self.end < self.start:
            raise ValueError(f"a window can't end ({self.end}) before it starts ({self.start})")

    def readable(self, now: datetime) -> "Window":
        """The part that can be read at `now`: up to two minutes before it, empty where that is too early."""
        return replace(self, end=max(self.start, min(self.end, to_utc(now) - SETTLING)))

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


@dataclass(frozen=True)
class Reading:
    """Everything in a window: proved complete when it was read, unless an `IncompleteWindow` holds it."""

    window: Window
    asked_after: datetime
    """Exclusive; earlier than the window's start by a margin."""
    asked_before: datetime
    """Exclusive; later than the window's end by a margin."""
    total_count: int
    """Topo's count between the asked bounds: the activities of the margins are in it."""
    received: int
    """Distinct activities between the asked bounds."""
    activities: list[Activity]
    """Those of the window, each id once, in order of time, then id; none where a keeper took them."""
    overlap: list[Activity]
    """What is between the asked bounds and not in the window; none where a keeper took it."""
    rejects: list[Reject]
    """Those within the window, or of no readable instant."""
    requests: int
    """Requests it took, retries included."""
    count_capped: bool = False
    """Whether Topo counts fewer than there are: then `total_count` is the number of rows in proved parts."""
    as_of: datetime | None = None
    """When the oldest answer was made, by Topo's clock; None where no answer says."""
    unreadable: list[Reject] = field(default_factory=list)
    """Rows between the asked bounds of which no version can be read; those of the margins too."""


def too_many_unreadable(unreadable: int, rows: int) -> bool:
    """Return whether too many of the `rows` received can't be read: more than 5 and 1%, or half of them or more."""
    return unreadable > max(FEW_UNREADABLE, rows * UNREADABLE_SHARE) or 0 < rows <= 2 * unreadable
