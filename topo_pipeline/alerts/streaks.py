"""Which of all failures are news: the first of a streak, and its end.

A subject is whatever can fail and work again: a day, a step, a job, a check. It fails from its first failure until it
was seen to work later than it last failed. Only what stands at the end of a look is told: what failed and was healed
between two looks asks nothing of anybody, and so a sensor that was off for a week tells no history.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Annotated

import msgspec

from topo_pipeline.text import in_chat, one_line

LINES, SUBJECTS, SENTENCE = 20, 6, 600
"""The most that one message tells: lines, subjects a line, characters of a reason."""

LONGEST_WAIT = timedelta(hours=1)
"""Between two attempts to deliver a message."""

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


@dataclass(frozen=True)
class Failure:
    """Something failed, once.

    Attributes:
        subject: what, as people are told.
        at: when, aware.
        run: the run that it happened in, in short; None where it was in none.
        reason: a sentence.
    """

    subject: str
    at: datetime
    run: str | None
    reason: str


@dataclass(frozen=True)
class News:
    """What is told in one message: of each subject that began to fail its last failure, and what works again."""

    failing: tuple[Failure, ...] = ()
    well_again: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.failing or self.well_again)


class Memory(msgspec.Struct, frozen=True):
    """What has been told.

    Attributes:
        until: up to when ended runs have been looked at.
        failing: the subjects that were told to fail, and when each last did.
        undelivered: fingerprint of the message that was not delivered; empty if the last delivery succeeded.
        attempts: failed deliveries of it in a row.
        next_attempt: when to try it again.
    """

    until: Instant
    failing: dict[str, Instant] = {}
    undelivered: str = ""
    attempts: int = 0
    next_attempt: Instant | None = None

    def must_wait(self, fingerprint: str, now: datetime) -> bool:
        """Return whether this message failed before and is not due again; a clock that was wrong then is ignored."""
        due = self.next_attempt
        return fingerprint == self.undelivered and due is not None and now < due <= now + LONGEST_WAIT

    def postponed(self, fingerprint: str, now: datetime) -> "Memory":
        """Return the memory after a failed delivery: the wait doubles with each attempt, up to an hour.

        A receiver that accepts a message but answers with an error would otherwise get it every minute.
        """
        attempts = self.attempts if fingerprint == self.undelivered else 0
        wait = min(timedelta(minutes=2) * 2 ** min(attempts, 10), LONGEST_WAIT)
        return msgspec.structs.replace(self, undelivered=fingerprint, attempts=attempts + 1, next_attempt=now + wait)


def remembered(cursor: str | None, otherwise: Memory) -> Memory:
    """The memory in a cursor, or another one where there is none or it is of another making."""
    try:
        return msgspec.json.decode(cursor or "", type=Memory)
    except (msgspec.MsgspecError, ValueError):
        return otherwise


def written(memory: Memory) -> str:
    """The cursor that holds a memory."""
    return msgspec.json.encode(memory).decode()


def news(
    failing: Mapping[str, datetime], failures: Iterable[Failure], worked: Mapping[str, datetime]
) -> tuple[News, dict[str, datetime]]:
    """Tell what is new, and what fails now.

    Args:
        failing: what was told to fail, and when it last did.
        failures: what failed since, in any order.
        worked: when a subject was last seen to work, whether it ever failed or not.

    Returns:
        The news, and the next `failing`.
    """
    latest = {failure.subject: failure for failure in sorted(failures, key=attrgetter("at"))}
    last_failed = {**failing, **{subject: failure.at for subject, failure in latest.items()}}
    now = {subject: at for subject, at in last_failed.items() if subject not in worked or worked[subject] <= at}
    began = tuple(failure for subject, failure in latest.items() if subject in now and subject not in failing)
    return News(began, tuple(subject for subject in failing if subject not in now)), now


def message(told: News) -> str:
    """The news as plain text, cut where it is endless."""
    in_order = sorted(told.failing, key=lambda failure: (failure.at, failure.run or "", failure.reason))
    lines = [_line(list(alike)) for _, alike in groupby(in_order, key=attrgetter("run", "reason"))]
    if len(lines) > LINES:
        lines = [*lines[:LINES], f"… and {len(lines) - LINES} more reasons: see the runs in Dagster's UI."]
    if told.well_again:
        lines.append(f"Works again: {_listed(told.well_again)}")
    return in_chat("\n".join(["topo_pipeline", *lines]))


def _line(alike: Sequence[Failure]) -> str:
    first = alike[0]
    run = f" (run {first.run})" if first.run else ""
    return f"Failed: {_listed([failure.subject for failure in alike])}{run}: {one_line(first.reason, SENTENCE)}"


def _listed(subjects: Sequence[str]) -> str:
    more = f" and {len(subjects) - SUBJECTS} more" if len(subjects) > SUBJECTS else ""
    return f"{', '.join(sorted(subjects)[:SUBJECTS])}{more}"
