"""Decide which landed days to read again because Topo's count within the bounds of their load has changed."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

import msgspec

from topo_pipeline.automation.facts import Decision, LastLoad, make_requests
from topo_pipeline.common.cursors import Instant

# The last 3 days are compared hourly, the last 35 daily.
RECENT_DAYS, RECENT_INTERVAL = 3, timedelta(hours=1)
OLDER_DAYS, OLDER_INTERVAL = 35, timedelta(days=1)


class Comparison(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last comparison of a day with Topo."""

    at: Instant
    tried: int | None = None
    """The count for which a read was requested, until a load has it. The same count requests no second read."""


class DriftState(msgspec.Struct, frozen=True):
    """The last comparison of each day. A day without an answer from Topo keeps its previous one."""

    looks: dict[date, Comparison] = {}


def due(state: DriftState, today: date, now: datetime) -> list[date]:
    """Return the days to compare, the longest unchecked first."""
    never = datetime.min.replace(tzinfo=now.tzinfo)
    last = {day: state.looks[day].at if day in state.looks else never for day in _days_before(today)}
    return sorted(
        (day for day, at in last.items() if at > now or now - at >= _interval(today - day)), key=lambda day: last[day]
    )


def decide(
    state: DriftState,
    loads: Mapping[date, LastLoad],
    answers: Mapping[date, int | Exception],
    today: date,
    now: datetime,
) -> Decision[DriftState]:
    """Request the days whose count differs from their load's and from the one they were last requested for.

    `loads` has the last load of each compared day, and `answers` Topo's count within the bounds of that load, or an
    error. Days without an answer are missing.
    """
    looks = {day: state.looks[day] for day in _days_before(today) if day in state.looks}
    counts = {day: answer for day, answer in answers.items() if isinstance(answer, int)}
    tried = {day: looks[day].tried for day in counts if day in looks}
    changed = [day for day, count in counts.items() if count not in (loads[day].total_count, tried.get(day))]
    looks |= {day: Comparison(now, None if count == loads[day].total_count else count) for day, count in counts.items()}
    errors = [str(answer) for answer in answers.values() if isinstance(answer, Exception)]
    reason = errors[0] if errors else f"Landed days compared with Topo: {len(counts)}. To read again: {len(changed)}."
    return Decision(reason, DriftState(looks), make_requests(changed, purpose="late activity of", at=now))


def _days_before(today: date) -> list[date]:
    return [today - timedelta(days=ago) for ago in range(1, OLDER_DAYS + 1)]


def _interval(age: timedelta) -> timedelta:
    return RECENT_INTERVAL if age.days <= RECENT_DAYS else OLDER_INTERVAL
