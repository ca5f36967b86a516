"""Decide which failures to report: the first failure of a streak, and the recovery that ends it.

A subject is a day, a step, a job or a check. It is failing from its first failure until it succeeds after its last
failure. Only the state at the end of a tick is reported. A subject that failed and recovered between two ticks is not
reported, so a sensor that was off for a week does not report a week of history.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter

import msgspec

from topo_pipeline.common.cursors import Instant
from topo_pipeline.common.text import one_line

MAX_LINES, MAX_SUBJECTS, MAX_REASON = 20, 6, 600
"""Limits of one message: lines, subjects per line, characters per reason."""

MAX_WAIT = timedelta(hours=1)
"""Longest wait between two attempts to deliver a message."""


@dataclass(frozen=True)
class Failure:
    """One failure."""

    subject: str  # name of what failed, as shown in messages
    at: datetime  # when it failed (aware)
    run: str | None  # first part of the run id; None for a failure outside of runs
    reason: str  # one sentence


@dataclass(frozen=True)
class Alert:
    """The content of one message: the last failure of each newly failing subject, and the recovered subjects."""

    failing: tuple[Failure, ...] = ()
    recovered: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.failing or self.recovered)


class AlertState(msgspec.Struct, frozen=True):
    """The sensor's state between ticks."""

    until: Instant  # runs that ended before this have been processed
    failing: dict[str, Instant] = {}  # the subjects reported as failing, with the time of their last failure
    undelivered: str = ""  # fingerprint of the message that was not delivered; empty if the last delivery succeeded
    attempts: int = 0  # failed deliveries of that message in a row
    next_attempt: Instant | None = None  # when to try that message again

    def must_wait(self, fingerprint: str, now: datetime) -> bool:
        """Return whether this message failed before and is not due yet. Ignores times set by a wrong clock."""
        due = self.next_attempt
        return fingerprint == self.undelivered and due is not None and now < due <= now + MAX_WAIT

    def after_failed_delivery(self, fingerprint: str, now: datetime) -> "AlertState":
        """Return the state after a failed delivery. The wait doubles with each attempt, up to `MAX_WAIT`.

        Without the wait, a receiver that accepts a message but answers with an error would get it every minute.
        """
        attempts = self.attempts if fingerprint == self.undelivered else 0
        wait = min(timedelta(minutes=2) * 2 ** min(attempts, 10), MAX_WAIT)
        return msgspec.structs.replace(self, undelivered=fingerprint, attempts=attempts + 1, next_attempt=now + wait)


def find_alert(
    failing: Mapping[str, datetime], failures: Iterable[Failure], worked: Mapping[str, datetime]
) -> tuple[Alert, dict[str, datetime]]:
    """Return what to report now, and the subjects that are failing now.

    Args:
        failing: the subjects reported as failing, with the time of their last failure.
        failures: the failures since then, in any order.
        worked: when each subject last succeeded, including subjects that never failed.

    Returns:
        The alert, and the value of `failing` for the next call.
    """
    latest = {failure.subject: failure for failure in sorted(failures, key=attrgetter("at"))}
    last_failed = {**failing, **{subject: failure.at for subject, failure in latest.items()}}
    now = {subject: at for subject, at in last_failed.items() if subject not in worked or worked[subject] <= at}
    began = tuple(failure for subject, failure in latest.items() if subject in now and subject not in failing)
    return Alert(began, tuple(subject for subject in failing if subject not in now)), now


def message(alert: Alert, organization: str | None = None) -> str:
    """Return the alert as plain text of limited length."""
    in_order = sorted(alert.failing, key=lambda failure: (failure.at, failure.run or "", failure.reason))
    by_reason = [list(alike) for _, alike in groupby(in_order, key=attrgetter("run", "reason"))]
    lines = [_line(alike) for alike in by_reason[:MAX_LINES]]
    if len(by_reason) > MAX_LINES:
        lines.append(f"… and {len(by_reason) - MAX_LINES} more reasons: see the runs in Dagster's UI.")
    if alert.recovered:
        lines.append(f"Recovered: {_joined(alert.recovered)}")
    return "\n".join([f"topo_pipeline, {organization}" if organization else "topo_pipeline", *lines])


def _line(alike: Sequence[Failure]) -> str:
    first = alike[0]
    run = f" (run {first.run})" if first.run else ""
    return f"Failed: {_joined([failure.subject for failure in alike])}{run}: {one_line(first.reason, MAX_REASON)}"


def _joined(subjects: Sequence[str]) -> str:
    more = f" and {len(subjects) - MAX_SUBJECTS} more" if len(subjects) > MAX_SUBJECTS else ""
    return f"{', '.join(sorted(subjects)[:MAX_SUBJECTS])}{more}"
