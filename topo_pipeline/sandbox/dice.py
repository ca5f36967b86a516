"""Reproducible random numbers and times, seeded by text. They are the same on every machine."""

import math
import uuid
from bisect import bisect
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from random import Random

SATURDAY = 5
OFFICE_HOURS = (8.0, 17.0)
AWAKE_HOURS = (7, 22)
REST_AT_WEEKENDS = 0.92
WHOLE_SECONDS_SHARE = 0.2
SHORTEST_REACTION = timedelta(seconds=40)


class Dice:
    """Random draws for one subject.

    Only `random()` and `getrandbits()` are used. They are the generator's raw output and, unlike `choice` or `gauss`,
    do not change between versions of Python.
    """

    def __init__(self, *subject: object) -> None:
        self._source = Random("/".join(map(str, subject)))  # noqa: S311 - a simulation, not a secret

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self._source.random() < probability

    def between(self, low: float, high: float) -> float:
        """Return a uniform number in [low, high)."""
        return low + (high - low) * self._source.random()

    def below(self, end: int) -> int:
        """Return a uniform integer in [0, end)."""
        return int(self._source.random() * end)

    def pick(self, weights: Mapping[str, float]) -> str:
        """Return one of the keys, chosen by weight."""
        bounds = list(accumulate(weights.values()))
        return list(weights)[bisect(bounds, self.between(0, bounds[-1]))]

    def waiting(self, median: float, at_most: float) -> float:
        """Return an exponentially distributed waiting time: mostly short, sometimes long."""
        return min(at_most, median * -math.log2(1 - self._source.random()))

    def uuid(self) -> str:
        """Return a version 4 UUID."""
        return str(uuid.UUID(int=self._source.getrandbits(128), version=4))

    def at(self, day: date, hours: tuple[float, float]) -> datetime:
        """Return a time between two hours of a day (UTC)."""
        midnight = datetime.combine(day, time(), UTC)
        return self._recorded(midnight + timedelta(hours=self.between(*hours)))

    def in_office_hours(self, since: date, working_days: int) -> datetime:
        """Return a time within office hours (UTC), `working_days` after `since`."""
        day = _working_day(since)
        for _ in range(working_days):
            day = _working_day(day + timedelta(days=1))
        return self.at(day, OFFICE_HOURS)

    def soon(self, since: datetime, low: float, high: float) -> datetime:
        """Return a time between `low` and `high` seconds later. At least one second keeps the order."""
        return self._recorded(since + timedelta(seconds=self.between(low, high)))

    def reaction(self, since: datetime, median_hours: float, at_most_hours: float) -> datetime:
        """Return when a person reacts: after `since`, in waking hours, rarely at a weekend."""
        hours = self.waiting(median_hours, at_most_hours)
        moment = since + max(timedelta(hours=hours), SHORTEST_REACTION)
        if moment.weekday() >= SATURDAY and self.chance(REST_AT_WEEKENDS):
            moment = self._on(_working_day(moment.date()))
        if moment.hour < AWAKE_HOURS[0]:
            moment = self._on(moment.date())
        elif moment.hour >= AWAKE_HOURS[1]:
            moment = self._on(moment.date() + timedelta(days=1))
        return self._recorded(moment)

    def _on(self, day: date) -> datetime:
        return datetime.combine(day, time(), UTC) + timedelta(hours=self.between(*AWAKE_HOURS))

    def _recorded(self, moment: datetime) -> datetime:
        """Truncate a time to whole seconds or milliseconds, chosen at random."""
        unit = 1_000_000 if self.chance(WHOLE_SECONDS_SHARE) else 1_000
        return moment.replace(microsecond=moment.microsecond // unit * unit)


def _working_day(day: date) -> date:
    """Return the day, or the next Monday if it is on a weekend."""
    return day if day.weekday() < SATURDAY else day + timedelta(days=7 - day.weekday())
