"""Which landed days are other at the source by now: between a load's bounds Topo does not count what it did then."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

import msgspec

from topo_pipeline.automation.cursors import Instant
from topo_pipeline.automation.facts import Decision, LastLoad, requests
from topo_pipeline.topo_api.errors import TopoError

# Days before today, and how often they are looked at.
NEAR_DAYS, NEAR_EVERY = 3, timedelta(hours=1)
FAR_DAYS, FAR_EVERY = 35, timedelta(days=1)


class Look(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last time that a day was held against Topo."""

    at: Instant
    tried: int | None = None
    """Topo's count for which it was to be read again, until a load has it: no reason to ask once more."""


class Memory(msgspec.Struct, frozen=True):
    """The look at each day; it stays as it is until Topo has answered."""

    looks: dict[date, Look] = {}


def due(memory: Memory, today: date, now: datetime) -> list[date]:
    """The days to look at, first those that were not looked at for longest."""
    never = datetime.min.replace(tzinfo=now.tzinfo)
    last = {day: memory.looks[day].at if day in memory.looks else never for day in _days_before(today)}
    return sorted(
        (day for day, at in last.items() if at > now or now - at >= _every(today - day)), key=lambda day: last[day]
    )


def decide(
    memory: Memory,
    loads: Mapping[date, LastLoad],
    answers: Mapping[date, int | TopoError],
    today: date,
    now: datetime,
) -> Decision[Memory]:
    """Ask for the days whose count is neither that of their load nor the one for which they were asked before.

    Args:
        memory: Of the ticks before.
        loads: The last load of each day that was asked about.
        answers: Topo's count between the bounds of that load, as far as it answered.
        today: The reporting day.
        now: The tick.
    """
    looks = {day: memory.looks[day] for day in _days_before(today) if day in memory.looks}
    counts = {day: answer for day, answer in answers.items() if isinstance(answer, int)}
    tried = {day: looks[day].tried for day in counts if day in looks}
    moved = [day for day, count in counts.items() if count not in (loads[day].total_count, tried.get(day))]
    looks |= {day: Look(now, None if count == loads[day].total_count else count) for day, count in counts.items()}
    troubles = [str(answer) for answer in answers.values() if isinstance(answer, TopoError)]
    why = troubles[0] if troubles else f"{len(counts)} landed days were looked at, {len(moved)} are to be read again."
    return Decision(why, Memory(looks), requests(moved, why="late activity of", at=now))


def _days_before(today: date) -> list[date]:
    return [today - timedelta(days=ago) for ago in range(1, FAR_DAYS + 1)]


def _every(age: timedelta) -> timedelta:
    return NEAR_EVERY if age.days <= NEAR_DAYS else FAR_EVERY
