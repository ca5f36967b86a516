"""Messages and invitations of runs and what answers them, from the definitions: what the finer oracles share."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from topo_pipeline_tests.engagement.helpers import Activity

Key = tuple[str | None, str]

TOUCHES = ("message.sent", "invitation.sent")


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
