"""When the heartbeat's address is requested: once for each good night.

A night is good once the last run of each of its stretches has succeeded and every day of them is landed as a closed
day. A failed run that is re-executed with success makes the night good late.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

import msgspec

from topo_pipeline.automation.cursors import Instant
from topo_pipeline.automation.facts import LastLoad

ATTEMPTS = 8
"""Requests for one night: the last one is made about two hours after the first."""
LONGEST_WAIT = timedelta(minutes=30)
OLDEST = timedelta(days=1)
"""A night that began longer ago says nothing of today."""

Status = Literal["succeeded", "failed", "under way"]


@dataclass(frozen=True)
class Night:
    """What one tick of the nightly schedule asked for, and what came of it.

    Attributes:
        at: the tick.
        stretches: how many stretches of days it asked for.
        runs: the status of the last run of each stretch that has one, by the name of the stretch.
        days: the days of these stretches.
    """

    at: datetime
    stretches: int
    runs: Mapping[str, Status]
    days: Collection[date]

    def why_not_good(self, loads: Mapping[date, LastLoad | None], failed: Collection[date]) -> str | None:
        """Return why the night is not good, or not yet; None where it is.

        Args:
            loads: The last load of each of its landed days.
            failed: Days whose last reading failed.
        """
        if "failed" in self.runs.values():
            return f"The night of {self.at:%Y-%m-%d} failed."
        if len(self.runs) < self.stretches or "under way" in self.runs.values():
            return f"The night of {self.at:%Y-%m-%d} is under way."
        missing = [day for day in sorted(self.days) if (load := loads.get(day)) is None or load.is_open]
        missing += sorted(set(self.days) & set(failed) - set(missing))
        if missing:
            return f"Days of the night of {self.at:%Y-%m-%d} did not land: {', '.join(map(str, missing))}."
        return None


class Memory(msgspec.Struct, frozen=True):
    """The requests so far.

    Attributes:
        night: the night that the last request was for.
        done: whether no more are made for it: one succeeded, or all attempts failed.
        attempts: requests for it that failed.
        next_attempt: not before then.
    """

    night: Instant | None = None
    done: bool = False
    attempts: int = 0
    next_attempt: Instant | None = None

    def answered(self, night: datetime) -> "Memory":
        """Return the memory after a request that succeeded."""
        return Memory(night, done=True)

    def failed(self, night: datetime, now: datetime) -> "Memory":
        """Return the memory after a request that failed: the wait doubles with each of them."""
        attempts = self.attempts + 1 if night == self.night else 1
        wait = min(timedelta(minutes=2) * 2 ** (attempts - 1), LONGEST_WAIT)
        return Memory(night, attempts >= ATTEMPTS, attempts, now + wait)


def hold_back(
    memory: Memory,
    night: Night | None,
    loads: Mapping[date, LastLoad | None],
    failed: Collection[date],
    now: datetime,
) -> str | None:
    """Return why nothing is requested now; None where the night is good and a request is due.

    Args:
        memory: The requests so far.
        night: The last night that launched a run.
        loads: The last load of each landed day of that night.
        failed: Days whose last reading failed.
        now: The time, aware.
    """
    if night is None or now - night.at > OLDEST:
        return "No night of the last 24 hours has launched a run."
    if night.at == memory.night and memory.done:
        return f"The night of {night.at:%Y-%m-%d} is done."
    if reason := night.why_not_good(loads, failed):
        return reason
    if night.at == memory.night and memory.next_attempt is not None and now < memory.next_attempt:
        return f"The last request failed. Next attempt: {memory.next_attempt:%Y-%m-%d %H:%M UTC}."
    return None
