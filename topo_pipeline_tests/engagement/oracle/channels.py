"""`sequence_channels`: what was sent and created on each channel, by period, and what answered it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from statistics import median

from topo_pipeline_tests.engagement.oracle.actions import Done, done_in
from topo_pipeline_tests.engagement.oracle.answers import Task, Touch
from topo_pipeline_tests.engagement.oracle.cohorts import Member, cohorts_of
from topo_pipeline_tests.engagement.oracle.rates import no_rates, rate
from topo_pipeline_tests.engagement.oracle.runs import hours
from topo_pipeline_tests.engagement.oracle.world import ONE_DAY, PERIODS, Row, World, channel_of, group_of, id_of

LOOK_RATES = (
    "email_open_rate", "email_open_rate_adjusted", "email_click_rate", "contact_open_rate", "contact_click_rate",
)  # fmt: skip
INVITATION_RATES = ("invitation_acceptance_rate", "invitation_to_reply_rate")


def sequence_channels(world: World) -> list[Row]:
    places = {
        (done.run.sequence, group_of(activity))
        for done in done_in(world)
        for activity in (*(touch.sent for touch in done.touches), *(task.created for task in done.tasks))
    }
    return [_Cell(world, *place, period).row() for place in places for period in PERIODS]


@dataclass(frozen=True)
class _Cell:
    """One row: a sequence, a channel, a period."""

    world: World
    sequence: str | None
    channel: str
    period: str

    @cached_property
    def all_done(self) -> list[Done]:
        return [done for done in done_in(self.world) if done.run.sequence == self.sequence]

    @cached_property
    def uncensored(self) -> list[Done]:
        return [done for done in self.all_done if not done.run.is_left_censored]

    def is_counted(self, at: datetime) -> bool:
        """Whether something that happened then is in the counts of the period."""
        return self.world.is_in_period(self.world.day_of(at), self.period, self.world.last_known)

    def is_over(self, touch: Touch, length: int) -> bool:
        """Whether something sent in the period of the rates has a window of this many days that has closed."""
        world, at = self.world, touch.sent.created_at
        return (
            group_of(touch.sent) == self.channel
            and world.has_closed(at, length)
            and world.is_in_period(world.day_of(at), self.period, world.closed_day(length))
        )

    def is_unknown(self, touch: Touch, length: int) -> bool:
        """Whether the window of something sent has an unknown day in it."""
        return self.world.unknown_in_windows(self.world.day_of(touch.sent.created_at), length) > 0

    def is_rated(self, touch: Touch, length: int) -> bool:
        """Whether something sent is in the rates of a window of this many days."""
        return self.is_over(touch, length) and not self.is_unknown(touch, length)

    def _left_out(self, of: Callable[[Done], list[Touch]], length: int) -> int:
        sent = [touch for done in self.uncensored for touch in of(done)]
        return sum(self.is_over(touch, length) and self.is_unknown(touch, length) for touch in sent)

    def row(self) -> Row:
        rules = self.world.rules
        readable = self._messages(rules.open_window_days)
        answerable = self._messages(rules.message_reply_window_days)
        tracking_off = is_tracking_off(self.world, self.sequence) if self.channel == "EMAIL" else None
        return {
            "sequence_template_id": id_of(self.sequence),
            "channel": self.channel,
            "period": self.period,
            "sends": self._sent(lambda done: done.messages),
            "invitations": self._sent(lambda done: done.invitations),
            "eligible_for_open": len(readable),
            "eligible_for_reply": len(answerable),
            "left_out_for_open": self._left_out(lambda done: done.messages, rules.open_window_days),
            "left_out_for_reply": self._left_out(lambda done: done.messages, rules.message_reply_window_days),
            "left_out_for_acceptance": self._left_out(lambda done: done.invitations, rules.acceptance_window_days),
            "tracking_off": tracking_off,
            "open_tasks": sum(task.is_open for done in self.all_done for task in self._tasks(done)),
            "as_of": self.world.as_of,
            **(self._looks(readable) if tracking_off is False else no_rates(LOOK_RATES)),
            **self._replies(answerable),
            **(self._invitations() if self.channel == "LINKEDIN" else no_rates(INVITATION_RATES)),
            **self._task_rates([task for done in self.uncensored for task in self._tasks(done)]),
        }

    def _sent(self, of: Callable[[Done], list[Touch]]) -> int:
        sent = [touch.sent for done in self.all_done for touch in of(done)]
        return sum(group_of(activity) == self.channel and self.is_counted(activity.created_at) for activity in sent)

    def _messages(self, length: int) -> list[Touch]:
        """Return the messages whose outcomes are known."""
        return [message for done in self.uncensored for message in done.messages if self.is_rated(message, length)]

    def _tasks(self, done: Done) -> list[Task]:
        mine = [task for task in done.tasks if group_of(task.created) == self.channel]
        return [task for task in mine if self.is_counted(task.created.created_at)]

    def _rate(self, name: str, found: list[bool]) -> Row:
        return rate(name, sum(found), len(found), self.world.rules)

    @cached_property
    def contacts(self) -> list[tuple[Member, list[Touch]]]:
        """Return the runs that the summary's rates cover and that got a message here in their window, with these."""
        length, found = self.world.rules.reply_window_days, []
        messages = {id(done.run): done.messages for done in self.all_done}
        for cohort in cohorts_of(self.world):
            is_inside = self.world.is_in_period(cohort.day, self.period, self.world.closed_day(length))
            if (cohort.sequence, cohort.axis) == (self.sequence, "touched") and is_inside and not cohort.days_unknown:
                for member in cohort.eligible:
                    mine = [m for m in messages[id(member.run)] if group_of(m.sent) == self.channel]
                    if sent := [m for m in mine if member.is_in_window(m.sent.created_at, length)]:
                        found.append((member, sent))
        return found

    def _contact_rate(self, name: str, answers: Callable[[Touch], list[datetime]]) -> Row:
        length = self.world.rules.reply_window_days
        answered = [
            any(member.is_in_window(at, length) for message in sent for at in answers(message))
            for member, sent in self.contacts
        ]
        return self._rate(name, answered)

    def _looks(self, messages: list[Touch]) -> Row:
        length = self.world.rules.open_window_days
        return {
            **self._rate("email_open_rate", [m.has(m.opens, length) for m in messages]),
            **self._rate("email_open_rate_adjusted", [m.has(m.slow_opens(self.world), length) for m in messages]),
            **self._rate("email_click_rate", [m.has(m.clicks, length) for m in messages]),
            **self._contact_rate("contact_open_rate", lambda message: message.opens),
            **self._contact_rate("contact_click_rate", lambda message: message.clicks),
        }

    def _replies(self, messages: list[Touch]) -> Row:
        length = self.world.rules.message_reply_window_days
        return {
            **self._rate("reply_rate", [m.has(m.replies, length) for m in messages]),
            **self._contact_rate("contact_reply_rate", lambda message: message.replies),
        }

    def _invitations(self) -> Row:
        length = self.world.rules.acceptance_window_days
        found = [i for done in self.uncensored for i in done.invitations if self.is_rated(i, length)]
        return {
            **self._rate("invitation_acceptance_rate", [i.has(i.acceptances, length) for i in found]),
            **self._rate("invitation_to_reply_rate", [i.has(i.replies_after, length) for i in found]),
        }

    def _task_rates(self, tasks: list[Task]) -> Row:
        completed = [task for task in tasks if task.is_closed_as("task.completed")]
        waited = [hours(t.closed.created_at - t.created.created_at) for t in completed if t.closed is not None]
        skipped = sum(task.is_closed_as("task.skipped") for task in tasks)
        return {
            **rate("task_completion_rate", len(completed), len(tasks), self.world.rules),
            **rate("task_skip_rate", skipped, len(tasks), self.world.rules),
            "median_hours_to_complete_task": median(waited) if waited else None,
        }


def is_tracking_off(world: World, sequence: str | None) -> bool:
    """Whether the last 28 days have many emails, and no open or click has come since they began."""
    if world.last_known is None:
        return False
    there = [done for done in done_in(world) if done.run.sequence == sequence]
    first = world.last_known - 27 * ONE_DAY
    messages = [message.sent for done in there for message in done.messages]
    recent = [m for m in messages if first <= world.day_of(m.created_at) <= world.last_known]
    looks = [done.run.row["last_look_at"] for done in there]
    has_looks = any(look is not None and look >= world.midnight(first) for look in looks)
    emails = sum(channel_of(message) == "EMAIL" for message in recent)
    return emails >= world.rules.tracking_off_sends and not has_looks
