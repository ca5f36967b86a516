"""Which message or invitation a reply, an open, a click or an acceptance answers, and which activity closes a task."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from topo_pipeline_tests.engagement.helpers import Activity
from topo_pipeline_tests.engagement.oracle.world import LOOKS, TOUCHES, World, channel_of


def touches(history: Iterable[Activity]) -> list[Activity]:
    return [activity for activity in history if activity.type in TOUCHES]


def before(event: Activity, history: list[Activity], *types: str) -> list[Activity]:
    """Return what an event can answer: the activities of these types up to the same instant."""
    return [other for other in history if other.type in types and other.created_at <= event.created_at]


def answered_by(reply: Activity, history: list[Activity]) -> tuple[str, Activity | None]:
    """Return how a reply is attributed, and to what."""
    candidates = before(reply, history, *TOUCHES)
    named = [t for t in candidates if t.type == "message.sent" and t.message is not None and t.message == reply.message]
    channel = channel_of(reply)
    same_channel = [t for t in candidates if channel is not None and channel_of(t) == channel]
    if named:
        return "exact", named[-1]
    if same_channel:
        return "last_touch_same_channel", same_channel[-1]
    return ("last_touch_any", candidates[-1]) if candidates else ("none", None)


def looked_at(look: Activity, history: list[Activity]) -> Activity | None:
    """Return the message that was opened or clicked: the one that is named; if none is, the last email."""
    sends = before(look, history, "message.sent")
    if look.message is None:
        found = [send for send in sends if channel_of(send) == "EMAIL"]
    else:
        found = [send for send in sends if send.message == look.message]
    return found[-1] if found else None


def is_instant(opened: Activity, history: list[Activity], world: World) -> bool:
    """Whether an open came too soon after its message for a person."""
    message = looked_at(opened, history)
    limit = timedelta(seconds=world.rules.instant_open_seconds)
    return message is not None and opened.created_at - message.created_at <= limit


@dataclass
class Touch:
    """A message or an invitation, and the times of what answers it, earliest first."""

    sent: Activity
    opens: list[datetime] = field(default_factory=list)
    clicks: list[datetime] = field(default_factory=list)
    replies: list[datetime] = field(default_factory=list)
    acceptances: list[datetime] = field(default_factory=list)
    replies_after: list[datetime] = field(default_factory=list)

    def slow_opens(self, world: World) -> list[datetime]:
        """Return the opens that are not instant."""
        limit = timedelta(seconds=world.rules.instant_open_seconds)
        return [at for at in self.opens if at - self.sent.created_at > limit]

    def has(self, moments: list[datetime], length: int) -> bool:
        """Whether one of these moments is in the window of this many days."""
        return any(moment - self.sent.created_at <= length * timedelta(hours=24) for moment in moments)


def touches_with_answers(world: World, history: list[Activity]) -> list[Touch]:
    """Return the messages and invitations of a run, earliest first."""
    found = {activity.id: Touch(activity) for activity in touches(history)}
    for event in history:
        if event.type in LOOKS and (message := looked_at(event, history)) is not None:
            of_message = found[message.id]
            (of_message.opens if event.type == "message.opened" else of_message.clicks).append(event.created_at)
        if world.is_valid_reply(event) and (answered := answered_by(event, history)[1]) is not None:
            found[answered.id].replies.append(event.created_at)
        invitations = before(event, history, "invitation.sent")
        if invitations and event.type == "invitation.accepted":
            found[invitations[-1].id].acceptances.append(event.created_at)
        if invitations and world.is_valid_reply(event) and channel_of(event) == "LINKEDIN":
            found[invitations[-1].id].replies_after.append(event.created_at)
    return list(found.values())


@dataclass(frozen=True)
class Task:
    """A created task, and the activity that closed it."""

    created: Activity
    closed: Activity | None

    @property
    def is_open(self) -> bool:
        """Whether it is known to be open. A task without an id never is."""
        return self.created.task is not None and self.closed is None

    def is_closed_as(self, type_: str) -> bool:
        return self.closed is not None and self.closed.type == type_


def tasks_of(history: list[Activity]) -> list[Task]:
    """Return the tasks of a run: one for each id, and one for each creation without an id."""
    found: list[Task] = []
    ids: set[str] = set()
    for activity in history:
        if activity.type != "task.created" or activity.task in ids:
            continue
        if activity.task is None:
            found.append(Task(activity, None))
            continue
        ids.add(activity.task)
        closings = [
            other
            for other in history
            if other.type in ("task.completed", "task.skipped")
            and other.task == activity.task
            and other.created_at >= activity.created_at
        ]
        found.append(Task(activity, closings[0] if closings else None))
    return found
