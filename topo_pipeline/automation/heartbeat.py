"""Decide when to request the heartbeat URL: once for each successful nightly refresh.

A nightly refresh is successful once the last run of each of its stretches of days has succeeded and every one of these
days has landed as a closed day. A failed run that is re-executed successfully makes it successful later.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

import msgspec

from topo_pipeline.automation.facts import LastLoad
from topo_pipeline.common.cursors import Instant

MAX_ATTEMPTS = 8
"""Requests for one nightly refresh. The last one is made about two hours after the first."""
MAX_WAIT = timedelta(minutes=30)
MAX_AGE = timedelta(days=1)
"""A nightly refresh that began longer ago is ignored."""

Status = Literal["succeeded", "failed", "in progress"]


@dataclass(frozen=True)
class NightlyRefresh:
    """The runs that one tick of the nightly schedule requested."""

    at: datetime  # the time of the tick
    stretches: int  # number of stretches of consecutive days that it requested
    runs: Mapping[str, Status]  # the status of the last run of each stretch that has one, by the name of the stretch
    days: Collection[date]  # the days of these stretches

    def why_not_successful(self, loads: Mapping[date, LastLoad | None], failed: Collection[date]) -> str | None:
        """Return why the refresh is not successful, or not yet; None if it is.

        `loads` has the last load of each of its landed days, and `failed` the days whose last read failed.
        """
        if "failed" in self.runs.values():
            return f"The nightly refresh of {self.at:%Y-%m-%d} failed."
        if len(self.runs) < self.stretches or "in progress" in self.runs.values():
            return f"The nightly refresh of {self.at:%Y-%m-%d} is in progress."
        missing = [day for day in sorted(self.days) if (load := loads.get(day)) is None or load.is_open]
        missing += sorted(set(self.days) & set(failed) - set(missing))
        if missing:
            days = ", ".join(map(str, missing))
            return f"The nightly refresh of {self.at:%Y-%m-%d} did not land these days: {days}."
        return None


class HeartbeatState(msgspec.Struct, frozen=True):
    """The sensor's state between ticks."""

    night: Instant | None = None  # the tick of the nightly refresh that the last request was for
    done: bool = False  # whether no more requests are made for it: one succeeded, or all attempts failed
    attempts: int = 0  # number of failed requests for it
    next_attempt: Instant | None = None  # earliest time of the next attempt

    def after_success(self, night: datetime) -> "HeartbeatState":
        """Return the state after a request that succeeded."""
        return HeartbeatState(night, done=True)

    def after_failure(self, night: datetime, now: datetime) -> "HeartbeatState":
        """Return the state after a request that failed. The wait doubles with each failure, up to `MAX_WAIT`."""
        attempts = self.attempts + 1 if night == self.night else 1
        wait = min(timedelta(minutes=2) * 2 ** (attempts - 1), MAX_WAIT)
        return HeartbeatState(night, attempts >= MAX_ATTEMPTS, attempts, now + wait)


def skip_reason(
    state: HeartbeatState,
    night: NightlyRefresh | None,
    loads: Mapping[date, LastLoad | None],
    failed: Collection[date],
    now: datetime,
) -> str | None:
    """Return why to send no heartbeat now; None if the nightly refresh was successful and a request is due.

    `night` is the last nightly refresh that launched a run. `loads` has the last load of each of its landed days, and
    `failed` the days whose last read failed.
    """
    if night is None or now - night.at > MAX_AGE:
        return "No nightly refresh has launched a run in the last 24 hours."
    if night.at == state.night and state.done:
        return f"Nothing left to send for the nightly refresh of {night.at:%Y-%m-%d}."
    if reason := night.why_not_successful(loads, failed):
        return reason
    if night.at == state.night and state.next_attempt is not None and now < state.next_attempt:
        return f"The last heartbeat was not delivered. Next attempt: {state.next_attempt:%Y-%m-%d %H:%M UTC}."
    return None
