"""A window of time → all its activities, proved complete, or an error.

The proof holds the distinct ids received against Topo's own count, over the bounds that were asked,
before anything is filtered to the window; how it is come by where pages disagree is for `repair`.
What a window means (a day, an hour) is for the caller.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import IncompleteWindow
from topo_pipeline.topo_api.repair import DEPTH, OVERLAP, Outcome, read_proved
from topo_pipeline.topo_api.tally import Tally
from topo_pipeline.topo_api.wire import Activity, ActivityQuery, Reject, to_utc

SETTLING = timedelta(minutes=2)
"""What is younger may not be visible on every page yet."""


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
    """Exclusive; earlier than the window's start by the overlap."""
    asked_before: datetime
    """Exclusive."""
    total_count: int
    """Topo's count between the asked bounds: the overlap's activities are in it, not in the lists here."""
    activities: list[Activity]
    """Each id once, in order of time, then id."""
    rejects: list[Reject]
    """Those within the window, or of no readable instant."""
    requests: int
    """Requests it took, retries included."""


async def read_window(client: TopoClient, window: Window, *, depth: int = DEPTH) -> Reading:
    """Every activity of `window`, also an empty window's count.

    Args:
        client: Whom to ask.
        window: What to read.
        depth: Pages of one query that are read; a window that holds more is read in parts.

    Raises:
        IncompleteWindow: what was received is not what Topo counts, however it was asked for; holds what was received.
        TopoError: Topo refused, or could not be reached.
    """
    query = ActivityQuery(created_at_after=window.start - OVERLAP, created_at_before=window.end)
    outcome = await read_proved(client, query, depth)
    reading = _reading(window, outcome)
    if outcome.refused:
        raise IncompleteWindow(
            reading=reading,
            got=len(outcome.tally.rows),
            because=_because(outcome.refused, query),
            request_ids=outcome.refused.request_ids,
        )
    return reading


def _reading(window: Window, outcome: Outcome) -> Reading:
    rows = outcome.tally.rows
    return Reading(
        window=window,
        asked_after=window.start - OVERLAP,
        asked_before=window.end,
        total_count=outcome.tally.count,
        activities=sorted(
            (activity for activity in rows.activities.values() if activity.created_at in window),
            key=lambda activity: (activity.created_at, activity.id),
        ),
        rejects=[r for r in rows.rejects() if r.created_at is None or r.created_at in window],
        requests=outcome.requests,
    )


def _because(refused: Tally, whole: ActivityQuery) -> str:
    if refused.query == whole:
        return "it is not proved"
    asked = refused.query.params()
    kinds = [f"{name}={asked[name]}" for name in ("resource_type", "event_type") if name in asked]
    part = " ".join([f"{asked['created_at_after']} to {asked['created_at_before']}", *kinds])
    return f"its part {part} is not proved: {refused.count} counted, {len(refused.rows)} received"
