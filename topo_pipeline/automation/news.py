"""Decide whether to read today again because Topo's count differs from the landed one."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import msgspec

from topo_pipeline.automation.facts import Decision, LastLoad, RunInProgress, make_requests
from topo_pipeline.common.cursors import Instant
from topo_pipeline.common.text import noun_for
from topo_pipeline.days import OVERLAP, Bounds, Day

MIN_INTERVAL = timedelta(minutes=15)


class NewsState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last request."""

    at: Instant | None = None  # when a read was last requested
    day: date | None = None  # the day that was requested
    tried: int | None = None
    """Topo's count of that day at that time, until a load has it. The same count requests no second read."""


def skip_reason(
    state: NewsState, day: Day, now: datetime, *, start: date, in_progress: Iterable[RunInProgress]
) -> str | None:
    """Return why not to ask Topo for today's count now, or None.

    `start` is the day of the first partition.
    """
    if day.day < start:
        return f"Today ({day.day}) is before TOPO_START_DATE."
    if day.window.readable(now).end == day.window.start:
        return f"{day.day} has only just begun."
    if any(day.day in run for run in in_progress):
        return f"A queued or running run already reads {day.day}."
    if state.at is not None and state.at <= now < state.at + MIN_INTERVAL:
        return f"Last requested at {state.at:%H:%M} UTC. The minimum interval is {MIN_INTERVAL.seconds // 60} minutes."
    return None


def bounds_of(day: Day, last: LastLoad | None, now: datetime) -> Bounds:
    """Return the bounds within which to count today, so that the count is comparable with that of its last load."""
    return (last.asked_after if last else day.window.start - OVERLAP), day.window.readable(now).end


def decide(state: NewsState, day: date, last: LastLoad | None, count: int, now: datetime) -> Decision[NewsState]:
    """Request today if Topo's count differs from the landed one and from the one it was last requested for."""
    landed, activities = last.total_count if last else 0, f"{count} {noun_for(count, 'activity', 'activities')}"
    if count == landed:
        return Decision(f"Topo counts {activities} for {day}, as many as landed.", NewsState(state.at))
    if count == state.tried and day == state.day:
        return Decision(f"A read of {day} was already requested at Topo's count of {count} and did not land.", state)
    reason = f"Topo counts {activities} for {day}, {landed} landed."
    return Decision(reason, NewsState(now, day, count), make_requests([day], purpose="news of", at=now))
