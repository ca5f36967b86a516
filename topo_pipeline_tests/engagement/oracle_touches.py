"""Messages and invitations of runs and what answers them, from the definitions: what the finer oracles share."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from topo_pipeline_tests.engagement.helpers import Activity

Key = tuple[str | None, str]

TOUCHES = ("message.sent", "invitation.sent")
LOOKS = ("message.opened", "message.link_clicked")


@dataclass(frozen=True)
class Landed:
    """Every run's activities, earliest first, which runs are left-censored, and what the rates know and go by."""

    runs: dict[Key, list[Activity]]
    censored: frozenset[Key]
    as_of: datetime | None
    not_human: frozenset[str]
    reply_window: timedelta
    message_window: timedelta
    open_window: timedelta
    acceptance_window: timedelta
    instant: timedelta
    tracking_off_sends: int

    def whole(self) -> dict[Key, list[Activity]]:
        return {key: history for key, history in self.runs.items() if key not in self.censored}

    def is_valid_reply(self, activity: Activity) -> bool:
        return activity.type == "message.replied" and activity.category not in self.not_human

    def valid_replies(self, history: list[Activity]) -> list[Activity]:
        return [activity for activity in history if self.is_valid_reply(activity)]

    def is_over(self, moment: datetime) -> bool:
        """Whether the moment is known: not after the last closed day."""
        return self.as_of is not None and moment <= self.as_of


def channel_of(activity: Activity) -> str | None:
    if activity.channel is not None:
        return activity.channel
    if activity.type in ("message.opened", "message.link_clicked"):
        return "EMAIL"
    return "LINKEDIN" if (activity.type or "").startswith("invitation.") else None


def row_of(activity: Activity) -> str:
    """The channel under which it counts."""
    channel = channel_of(activity)
    if channel is None:
        return "NONE"
    return channel if channel in ("EMAIL", "LINKEDIN", "MANUAL") else "OTHER"


def touches(history: Iterable[Activity]) -> list[Activity]:
    return [activity for activity in history if activity.type in TOUCHES]


def before(event: Activity, history: list[Activity], *types: str) -> list[Activity]:
    """What the event may answer: those of the types up to its very moment."""
    return [other for other in history if other.type in types and other.created_at <= event.created_at]


def answered_by(reply: Activity, history: list[Activity]) -> Activity | None:
    """What a reply is to: the message it names, else the last touch in its channel, else the last one."""
    candidates = before(reply, history, *TOUCHES)
    named = [t for t in candidates if t.type == "message.sent" and t.message is not None and t.message == reply.message]
    same = [t for t in candidates if channel_of(t) is not None and channel_of(t) == channel_of(reply)]
    return next((found[-1] for found in (named, same, candidates) if found), None)


def looked_at(look: Activity, history: list[Activity]) -> Activity | None:
    """The message that was opened or clicked: the one named; where none is, the run's last email."""
    sends = before(look, history, "message.sent")
    if look.message is None:
        mails = [send for send in sends if send.channel == "EMAIL"]
    else:
        mails = [send for send in sends if send.message == look.message]
    return mails[-1] if mails else None


@dataclass
class Touch:
    """A message or an invitation and the moments of what came back to it, earliest first."""

    sent: Activity
    opens: list[datetime] = field(default_factory=list)
    clicks: list[datetime] = field(default_factory=list)
    replies: list[datetime] = field(default_factory=list)
    acceptances: list[datetime] = field(default_factory=list)
    replies_after: list[datetime] = field(default_factory=list)

    def has(self, moments: list[datetime], window: timedelta) -> bool:
        return any(moment - self.sent.created_at <= window for moment in moments)

    def slow_opens(self, instant: timedelta) -> list[datetime]:
        """The opens that are no machine's."""
        return [at for at in self.opens if at - self.sent.created_at > instant]


def with_answers(landed: Landed, history: list[Activity]) -> list[Touch]:
    """A run's messages and invitations, earliest first."""
    by_id = {activity.id: Touch(activity) for activity in touches(history)}
    for event in history:
        if event.type in LOOKS and (mail := looked_at(event, history)) is not None:
            touch = by_id[mail.id]
            (touch.opens if event.type == "message.opened" else touch.clicks).append(event.created_at)
        if landed.is_valid_reply(event) and (answered := answered_by(event, history)) is not None:
            by_id[answered.id].replies.append(event.created_at)
        invitations = before(event, history, "invitation.sent")
        if invitations and event.type == "invitation.accepted":
            by_id[invitations[-1].id].acceptances.append(event.created_at)
        if invitations and landed.is_valid_reply(event) and channel_of(event) == "LINKEDIN":
            by_id[invitations[-1].id].replies_after.append(event.created_at)
    return list(by_id.values())


@dataclass(frozen=True)
class Task:
    """A task, and what closed it."""

    created: Activity
    closed: Activity | None

    def is_closed_as(self, type_: str) -> bool:
        return self.closed is not None and self.closed.type == type_


def tasks_of(history: list[Activity]) -> list[Task]:
    """A run's tasks by their ids; what closed one before it was created is not believed."""
    found: dict[str, Task] = {}
    for activity in history:
        if activity.type == "task.created" and activity.task is not None and activity.task not in found:
            closings = [
                closing
                for closing in history
                if closing.type in ("task.completed", "task.skipped")
                and closing.task == activity.task
                and closing.created_at >= activity.created_at
            ]
            found[activity.task] = Task(activity, closings[0] if closings else None)
    return list(found.values())
