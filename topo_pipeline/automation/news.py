"""Whether Topo has more of today than is landed: then today is read again, now and then."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import msgspec

from topo_pipeline.automation.counting import Bounds
from topo_pipeline.automation.cursors import Instant
from topo_pipeline.automation.facts import Decision, LastLoad, UnderWay, requests
from topo_pipeline.ingest import Day
from topo_pipeline.topo_api.repair import OVERLAP

APART = timedelta(minutes=15)


class Memory(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was asked for."""

    at: Instant | None = None
    """When a reading was last asked for."""
    day: date | None = None
    """Of which day."""
    tried: int | None = None
    """Topo's count of that day then, until a load has it: no reason to ask once more."""


def hold_back(memory: Memory, day: Day, now: datetime, *, start: date, under_way: Iterable[UnderWay]) -> str | None:
    """Why not even to look at today now, or None.

    Args:
        memory: Of the ticks before.
        day: Today.
        now: The tick.
        start: The first day there is a partition for.
        under_way: Today is left to whichever of these runs reads it.
    """
    if day.day < start:
        return f"Today, {day.day}, comes before TOPO_START_DATE."
    if day.window.readable(now).end == day.window.start:
        return f"{day.day} has only just begun."
    if any(day.day in run for run in under_way):
        return f"{day.day} is being read."
    if memory.at is not None and memory.at <= now < memory.at + APART:
        return f"A reading was asked for at {memory.at:%H:%M} UTC: the next may be {APART.seconds // 60} minutes later."
    return None


def bounds_of(day: Day, last: LastLoad | None, now: datetime) -> Bounds:
    """Between which instants to count today, so that the count can be held against that of its last load."""
    return (last.asked_after if last else day.window.start - OVERLAP), day.window.readable(now).end


def decide(memory: Memory, day: date, last: LastLoad | None, count: int, now: datetime) -> Decision[Memory]:
    """Ask for today if Topo's count is neither the one that landed nor the one for which it was asked before."""
    landed = last.total_count if last else 0
    if count == landed:
        return Decision(f"Topo counts {count} activities of {day}, as landed.", Memory(memory.at))
    if count == memory.tried and day == memory.day:
        return Decision(f"{day} was read when Topo counted {count}, and that did not land.", memory)
    why = f"Topo counts {count} activities of {day}, {landed} are landed."
    return Decision(why, Memory(now, day, count), requests([day], why="news of", at=now))
