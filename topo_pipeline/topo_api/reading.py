"""The result of reading a window."""

from dataclasses import dataclass, field
from datetime import datetime

from topo_pipeline.days import Window
from topo_pipeline.topo_api.wire import Activity, Reject

FEW_UNREADABLE, UNREADABLE_SHARE = 5, 0.01
"""Up to this many unreadable rows are accepted, or up to this share of all rows."""


@dataclass(frozen=True)
class Reading:
    """The rows of a window. Proved complete unless it comes with an `IncompleteWindow`."""

    window: Window
    asked_after: datetime
    """Exclusive. A margin before the window's start."""
    asked_before: datetime
    """Exclusive. A margin after the window's end."""
    total_count: int
    """Topo's count between the requested bounds, so the margins are included."""
    received: int
    """Distinct activities received between the requested bounds."""
    activities: list[Activity]
    """The window's activities that no store has taken, each id once, sorted by time, then id."""
    overlap: list[Activity]
    """Activities between the requested bounds but outside the window."""
    rejects: list[Reject]
    """Rejects within the window or without a readable instant."""
    requests: int
    """Number of requests, retries included."""
    count_capped: bool = False
    """Whether Topo's count is capped. Then `total_count` is the number of rows in the proved parts."""
    as_of: datetime | None = None
    """Time of the oldest response by Topo's clock. None if no response has one."""
    unreadable: list[Reject] = field(default_factory=list)
    """Rows between the requested bounds, including the margins, of which no version can be read."""


def too_many_unreadable(unreadable: int, rows: int) -> bool:
    """Return whether too many of the `rows` received can't be read: more than both 5 and 1%, or at least half."""
    return unreadable > max(FEW_UNREADABLE, rows * UNREADABLE_SHARE) or 0 < rows <= 2 * unreadable
