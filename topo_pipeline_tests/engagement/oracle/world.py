"""What is landed, and the terms that every table shares: days, windows, reply classes, channels, kinds of activity.

The tables are a function of this. How the days were loaded, and in which order, is not part of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from topo_pipeline.engagement.rules import DEFAULT_RULES, Rules
from topo_pipeline_tests.engagement.helpers import Activity, uid

Row = dict[str, Any]

ONE_DAY = timedelta(days=1)
TYPES = {
    "found": "sequence.created",
    "sent": "message.sent",
    "invitations": "invitation.sent",
    "accepted": "invitation.accepted",
    "opens": "message.opened",
    "clicks": "message.link_clicked",
    "replies": "message.replied",
    "hot_leads": "hot_lead.created",
    "meetings": "meeting.created",
}
# Counted by day only: the column of sequence_activity, and the type.
DAY_ONLY = {
    "runs_completed": "sequence.completed",
    "runs_stopped": "sequence.stopped",
    "runs_paused": "sequence.paused",
    "runs_resumed": "sequence.resumed",
    "steps_completed": "sequence_step.completed",
    "steps_skipped": "sequence_step.skipped",
    "tasks_created": "task.created",
    "tasks_completed": "task.completed",
    "tasks_skipped": "task.skipped",
}
KNOWN = {*TYPES.values(), *DAY_ONLY.values()}
# Every kind that has a total_ and a unique_ column.
KINDS = (*TYPES, "valid_replies", "positive_replies")
TOUCHES = ("message.sent", "invitation.sent")
LOOKS = ("message.opened", "message.link_clicked")
ENDS = ("sequence.completed", "sequence.stopped")
# Classes of replies that have a column replies_<class>. The count of positive replies has another name.
CLASSES = ("pending", "neutral", "negative", "opt_out", "out_of_office", "bounced", "unknown")
NOT_VALID = ("out_of_office", "bounced")


def id_of(name: str | None) -> str | None:
    """Return the id of a sequence or a run, given the name that the test uses."""
    return None if name is None else uid(name)


def channel_of(activity: Activity) -> str | None:
    """Return the channel that Topo names, or the one that the type implies."""
    if activity.channel is not None:
        return activity.channel.upper()
    if activity.type in LOOKS:
        return "EMAIL"
    return "LINKEDIN" if (activity.type or "").startswith("invitation.") else None


def group_of(activity: Activity) -> str:
    """Return the channel under which an activity is counted."""
    channel = channel_of(activity)
    if channel is None:
        return "NONE"
    return channel if channel in ("EMAIL", "LINKEDIN", "MANUAL") else "OTHER"


@dataclass(frozen=True, eq=False)
class World:
    """Landed days and what is known of them. Sequences and runs have the names that the test gave them.

    Attributes:
        landed: the activities of each landed day.
        open_days: days whose last load began before they were over.
        unproved_days: days whose last load is not proved.
        statuses, names: of the sequences that have been read from the API.
    """

    landed: Mapping[date, list[Activity]]
    open_days: frozenset[date] = frozenset()
    unproved_days: frozenset[date] = frozenset()
    zone: str = "UTC"
    rules: Rules = DEFAULT_RULES
    statuses: Mapping[str, str | None] = field(default_factory=dict)
    names: Mapping[str, str | None] = field(default_factory=dict)

    # Activities

    @cached_property
    def activities(self) -> list[Activity]:
        """All of them, earliest first."""
        everything = [activity for day in self.landed.values() for activity in day]
        return sorted(everything, key=lambda activity: (activity.created_at, activity.id))

    @cached_property
    def only_sequence(self) -> dict[str, str | None]:
        """The sequence of each run that has exactly one; None for the others."""
        of_run: dict[str, set[str]] = {}
        for activity in self.activities:
            if activity.run is not None:
                there = of_run.setdefault(activity.run, set())
                if activity.sequence is not None:
                    there.add(activity.sequence)
        return {run: next(iter(there)) if len(there) == 1 else None for run, there in of_run.items()}

    @cached_property
    def shows_enrolments(self) -> bool:
        return any(a.type == "sequence.created" and a.run is not None for a in self.activities)

    def sequence_of(self, activity: Activity) -> str | None:
        """Return the sequence for which an activity counts. Orphans count for the one that they name."""
        if activity.sequence is not None or activity.run is None:
            return activity.sequence
        return self.only_sequence[activity.run]

    def reply_class(self, activity: Activity) -> str:
        """Return the class of a reply."""
        if activity.category is None:
            return "pending"
        for name in ("positive", "neutral", "negative", "opt_out", "out_of_office", "bounced"):
            if activity.category.upper() in getattr(self.rules, f"{name}_replies"):
                return name
        return "unknown"

    def is_reply(self, activity: Activity, *classes: str) -> bool:
        return activity.type == "message.replied" and self.reply_class(activity) in classes

    def is_valid_reply(self, activity: Activity) -> bool:
        return activity.type == "message.replied" and self.reply_class(activity) not in NOT_VALID

    def is_kind(self, activity: Activity, kind: str) -> bool:
        """Whether an activity counts in total_<kind>."""
        if kind == "valid_replies":
            return self.is_valid_reply(activity)
        if kind == "positive_replies":
            return self.is_reply(activity, "positive")
        return activity.type == TYPES[kind]

    # Sequences

    def status(self, sequence: str | None) -> str | None:
        return None if sequence is None else self.statuses.get(sequence)

    def is_judged(self, sequence: str | None) -> bool:
        """Whether a sequence is ranked and raises findings: it is named, and its status is ACTIVE or unknown."""
        return sequence is not None and self.status(sequence) in (None, "ACTIVE")

    # Days

    def day_of(self, moment: datetime) -> date:
        return moment.astimezone(ZoneInfo(self.zone)).date()

    def midnight(self, day: date) -> datetime:
        """Return the first instant of a day."""
        return datetime.combine(day, time.min, ZoneInfo(self.zone)).astimezone(UTC)

    def is_known(self, day: date) -> bool:
        return day in self.landed and day not in self.open_days and day not in self.unproved_days

    @cached_property
    def first_landed(self) -> date:
        return min(self.landed)

    @cached_property
    def last_known(self) -> date | None:
        return max(filter(self.is_known, self.landed), default=None)

    @cached_property
    def as_of(self) -> datetime | None:
        return None if self.last_known is None else self.midnight(self.last_known + ONE_DAY)

    @cached_property
    def unknown_days(self) -> list[date]:
        if self.last_known is None:
            return []
        return [day for day in days(self.first_landed, self.last_known) if not self.is_known(day)]

    # Windows of n times 24 hours

    def has_closed(self, start: datetime, length: int) -> bool:
        return self.as_of is not None and start + length * timedelta(hours=24) <= self.as_of

    def closed_day(self, length: int) -> date | None:
        """Return the last day of which every window that began on it has closed."""
        if self.as_of is None:
            return None
        return self.day_of(self.as_of - length * timedelta(hours=24)) - ONE_DAY

    def unknown_in_windows(self, day: date, length: int) -> int:
        """Return the number of unknown days in the windows that begin on a day."""
        last_moment = self.midnight(day + ONE_DAY) + length * timedelta(hours=24) - timedelta(microseconds=1)
        last = self.day_of(last_moment)
        return sum(day <= unknown <= last for unknown in self.unknown_days)

    def last_days(self, period: str, last: date | None) -> tuple[date | None, date | None]:
        """Return the first and last day of the period of days that ends with a day; None if there is no such day."""
        return (None, None) if last is None else (last - (PERIODS[period] - 1) * ONE_DAY, last)

    def is_in_period(self, day: date, period: str, last: date | None) -> bool:
        """Whether a day is in the period of days that ends with a day. Every day is in the lifetime."""
        if period == "lifetime":
            return True
        return last is not None and last - PERIODS[period] * ONE_DAY < day <= last


PERIODS = {"lifetime": 0, "7d": 7, "28d": 28, "90d": 90}


def days(first: date, last: date) -> Iterator[date]:
    """Yield the days from the first to the last."""
    for number in range((last - first).days + 1):
        yield first + number * ONE_DAY


def monday_of(day: date) -> date:
    return day - day.weekday() * ONE_DAY
