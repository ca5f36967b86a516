"""`sequence_channels` from its definitions, touch by touch and task by task."""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product
from statistics import median
from typing import Any

from topo_pipeline_tests.engagement.helpers import Activity, uid
from topo_pipeline_tests.engagement.oracle_rates import no_rate, rate
from topo_pipeline_tests.engagement.oracle_touches import (
    LOOKS,
    Key,
    Landed,
    Task,
    Touch,
    row_of,
    tasks_of,
    with_answers,
)

Row = dict[str, Any]

PERIODS = {"lifetime": None, "7d": timedelta(days=7), "28d": timedelta(days=28), "90d": timedelta(days=90)}


@dataclass
class There:
    """What was done in a sequence and a channel."""

    touched: list[Touch] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)

    def of(self, type_: str) -> list[Touch]:
        return [touch for touch in self.touched if touch.sent.type == type_]


def sequence_channels(landed: Landed) -> list[Row]:
    everything, whole = _by_place(landed, landed.runs), _by_place(landed, landed.whole())
    return [
        {"sequence_template_id": None if key[0] is None else uid(key[0]), "channel": key[1], "period": period}
        | _Cell(landed, key[0], key[1], PERIODS[period]).row(everything[key], whole.get(key, There()))
        for key, period in product(everything, PERIODS)
    ]


def _by_place(landed: Landed, runs: dict[Key, list[Activity]]) -> dict[tuple[str | None, str], There]:
    places: dict[tuple[str | None, str], There] = {}
    for (sequence, _), history in runs.items():
        for touch in with_answers(landed, history):
            places.setdefault((sequence, row_of(touch.sent)), There()).touched.append(touch)
        for task in tasks_of(history):
            places.setdefault((sequence, row_of(task.created)), There()).tasks.append(task)
    return places


@dataclass(frozen=True)
class _Cell:
    """One row's place: a sequence, a channel, a period."""

    landed: Landed
    sequence: str | None
    channel: str
    length: timedelta | None

    def row(self, everything: There, whole: There) -> Row:
        """Counts of what every run did, rates of what the runs did that were seen from their beginning."""
        readable = [message for message in whole.of("message.sent") if self._is_ripe(message, self.landed.open_window)]
        tracking_off = self._tracking_off() if self.channel == "EMAIL" else None
        row: Row = {
            "sends": sum(self._is_inside(message.sent) for message in everything.of("message.sent")),
            "eligible_for_open": len(readable),
            "tracking_off": tracking_off,
            "invitations": sum(self._is_inside(touch.sent) for touch in everything.of("invitation.sent")),
            "open_tasks": sum(task.closed is None and self._is_inside(task.created) for task in everything.tasks),
            "as_of": self.landed.as_of,
        }
        row |= self._looks(readable) if tracking_off is False else _nothing("email_open_rate", "email_click_rate")
        if tracking_off is not False:
            row |= no_rate("email_open_rate_adjusted")
        row |= self._replies(whole.of("message.sent")) | self._invitations(whole.of("invitation.sent"))
        return row | self._tasks([task for task in whole.tasks if self._is_inside(task.created)])

    def _looks(self, mails: list[Touch]) -> Row:
        window, instant = self.landed.open_window, self.landed.instant
        looked = sum(mail.has(mail.slow_opens(instant), window) for mail in mails)
        return {
            **rate("email_open_rate", sum(mail.has(mail.opens, window) for mail in mails), len(mails)),
            **rate("email_open_rate_adjusted", looked, len(mails)),
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
            "median_hours_to_complete_task": median(hours) if hours else None,
        }

    def _tracking_off(self) -> bool:
        """Whether much was sent in the last 28 days, by whatever run, and nothing looked at since they began."""
        as_of = self.landed.as_of
        if as_of is None:
            return False
        recent = [
            activity
            for (sequence, _), history in self.landed.runs.items()
            for activity in history
            if sequence == self.sequence and activity.created_at >= as_of - timedelta(days=28)
        ]
        mails = [a for a in recent if a.type == "message.sent" and a.channel == "EMAIL" and a.created_at < as_of]
        return len(mails) >= self.landed.tracking_off_sends and not any(a.type in LOOKS for a in recent)

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
