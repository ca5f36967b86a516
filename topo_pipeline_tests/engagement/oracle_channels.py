"""`sequence_channels` from its definitions, touch by touch and task by task."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import product
from statistics import median
from typing import Any

from topo_pipeline_tests.engagement.helpers import Activity, uid
from topo_pipeline_tests.engagement.oracle_rates import no_rate, rate
from topo_pipeline_tests.engagement.oracle_touches import Landed, answered_by, before, channel_of, row_of, touches

Row = dict[str, Any]

PERIODS = {"lifetime": None, "7d": timedelta(days=7), "28d": timedelta(days=28), "90d": timedelta(days=90)}
LOOKS = ("message.opened", "message.link_clicked")


@dataclass
class Touch:
    """A message or an invitation and the moments of what came back to it."""

    sent: Activity
    opens: list[datetime] = field(default_factory=list)
    clicks: list[datetime] = field(default_factory=list)
    replies: list[datetime] = field(default_factory=list)
    acceptances: list[datetime] = field(default_factory=list)
    replies_after: list[datetime] = field(default_factory=list)

    def has(self, moments: list[datetime], window: timedelta) -> bool:
        return any(moment - self.sent.created_at <= window for moment in moments)


@dataclass(frozen=True)
class Task:
    """A task, and what closed it."""

    created: Activity
    closed: Activity | None

    def is_closed_as(self, type_: str) -> bool:
        return self.closed is not None and self.closed.type == type_


def sequence_channels(landed: Landed) -> list[Row]:
    touched: dict[tuple[str | None, str], list[Touch]] = {}
    tasks: dict[tuple[str | None, str], list[Task]] = {}
    for (sequence, _), history in landed.whole().items():
        for touch in _touches(landed, history):
            touched.setdefault((sequence, row_of(touch.sent)), []).append(touch)
        for task in _tasks(history):
            tasks.setdefault((sequence, row_of(task.created)), []).append(task)
    return [
        {"sequence_template_id": None if key[0] is None else uid(key[0]), "channel": key[1], "period": period}
        | _Cell(landed, key[0], key[1], PERIODS[period]).counts(touched.get(key, []), tasks.get(key, []))
        for key, period in product({*touched, *tasks}, PERIODS)
    ]


def _touches(landed: Landed, history: list[Activity]) -> list[Touch]:
    by_id = {activity.id: Touch(activity) for activity in touches(history)}
    for event in history:
        if event.type in LOOKS:
            looked_at = _looked_at(event, history)
            if looked_at is not None:
                touch = by_id[looked_at.id]
                (touch.opens if event.type == "message.opened" else touch.clicks).append(event.created_at)
        elif landed.is_valid_reply(event):
            answered = answered_by(event, history)
            if answered is not None:
                by_id[answered.id].replies.append(event.created_at)
        invitations = before(event, history, "invitation.sent")
        if invitations and event.type == "invitation.accepted":
            by_id[invitations[-1].id].acceptances.append(event.created_at)
        if invitations and landed.is_valid_reply(event) and channel_of(event) == "LINKEDIN":
            by_id[invitations[-1].id].replies_after.append(event.created_at)
    return list(by_id.values())


def _looked_at(look: Activity, history: list[Activity]) -> Activity | None:
    """The message that was opened or clicked: the one named; where none is, the run's last email."""
    sends = before(look, history, "message.sent")
    if look.message is None:
        mails = [send for send in sends if send.channel == "EMAIL"]
    else:
        mails = [send for send in sends if send.message == look.message]
    return mails[-1] if mails else None


def _tasks(history: list[Activity]) -> list[Task]:
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


@dataclass(frozen=True)
class _Cell:
    """One row's place: a sequence, a channel, a period."""

    landed: Landed
    sequence: str | None
    channel: str
    length: timedelta | None

    def counts(self, touched: list[Touch], tasks: list[Task]) -> Row:
        messages = [touch for touch in touched if touch.sent.type == "message.sent"]
        invitations = [touch for touch in touched if touch.sent.type == "invitation.sent"]
        readable = [message for message in messages if self._is_ripe(message, self.landed.open_window)]
        tracking_off = self._tracking_off() if self.channel == "EMAIL" else None
        row: Row = {
            "sends": sum(self._is_inside(message.sent) for message in messages),
            "eligible_for_open": len(readable),
            "tracking_off": tracking_off,
            "invitations": sum(self._is_inside(invitation.sent) for invitation in invitations),
            "as_of": self.landed.as_of,
        }
        row |= self._looks(readable) if tracking_off is False else _nothing("email_open_rate", "email_click_rate")
        if tracking_off is not False:
            row |= no_rate("email_open_rate_adjusted")
        row |= self._replies(messages) | self._invitations(invitations)
        return row | self._tasks([task for task in tasks if self._is_inside(task.created)])

    def _looks(self, mails: list[Touch]) -> Row:
        window, instant = self.landed.open_window, timedelta(seconds=10)
        looked = [[at for at in mail.opens if at - mail.sent.created_at > instant] for mail in mails]
        return {
            **rate("email_open_rate", sum(mail.has(mail.opens, window) for mail in mails), len(mails)),
            **rate(
                "email_open_rate_adjusted",
                sum(mail.has(slow, window) for mail, slow in zip(mails, looked, strict=True)),
                len(mails),
            ),
            **rate("email_click_rate", sum(mail.has(mail.clicks, window) for mail in mails), len(mails)),
        }

    def _replies(self, messages: list[Touch]) -> Row:
        window = self.landed.message_window
        ripe = [message for message in messages if self._is_ripe(message, window)]
        replied = sum(message.has(message.replies, window) for message in ripe)
        return {"eligible_for_reply": len(ripe)} | rate("reply_rate", replied, len(ripe))

    def _invitations(self, invitations: list[Touch]) -> Row:
        if self.channel != "LINKEDIN":
            return _nothing("invitation_acceptance_rate", "invitation_to_reply_rate")
        window = self.landed.acceptance_window
        ripe = [touch for touch in invitations if self._is_ripe(touch, window)]
        accepted = sum(touch.has(touch.acceptances, window) for touch in ripe)
        replied = sum(touch.has(touch.replies_after, window) for touch in ripe)
        return {
            **rate("invitation_acceptance_rate", accepted, len(ripe)),
            **rate("invitation_to_reply_rate", replied, len(ripe)),
        }

    def _tasks(self, tasks: list[Task]) -> Row:
        completed = [task for task in tasks if task.is_closed_as("task.completed")]
        hours = [
            (task.closed.created_at - task.created.created_at) / timedelta(hours=1) for task in completed if task.closed
        ]
        return {
            **rate("task_completion_rate", len(completed), len(tasks)),
            **rate("task_skip_rate", sum(task.is_closed_as("task.skipped") for task in tasks), len(tasks)),
            "open_tasks": sum(task.closed is None for task in tasks),
            "median_hours_to_complete_task": median(hours) if hours else None,
        }

    def _tracking_off(self) -> bool:
        """Whether much was sent in the last 28 days, by whatever run, and nothing looked at."""
        as_of = self.landed.as_of
        if as_of is None:
            return False
        recent = [
            activity
            for (sequence, _), history in self.landed.runs.items()
            for activity in history
            if sequence == self.sequence and as_of - timedelta(days=28) <= activity.created_at < as_of
        ]
        mails = sum(activity.type == "message.sent" and activity.channel == "EMAIL" for activity in recent)
        return mails >= self.landed.tracking_off_sends and not any(activity.type in LOOKS for activity in recent)

    def _is_inside(self, activity: Activity) -> bool:
        as_of = self.landed.as_of
        if self.length is None:
            return True
        return as_of is not None and as_of - self.length <= activity.created_at < as_of

    def _is_ripe(self, touch: Touch, window: timedelta) -> bool:
        """Whether its window closed, and did so within the period."""
        as_of, closed_at = self.landed.as_of, touch.sent.created_at + window
        if as_of is None or closed_at > as_of:
            return False
        return self.length is None or closed_at > as_of - self.length


def _nothing(*rates: str) -> Row:
    return {column: value for name in rates for column, value in no_rate(name).items()}
