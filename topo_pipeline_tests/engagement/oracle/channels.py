"""`sequence_channels`: what was sent and created on each channel, by period, and what answered it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from statistics import median

from topo_pipeline_tests.engagement.oracle.actions import Done, done_in
from topo_pipeline_tests.engagement.oracle.answers import Task, Touch
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
        world, day = self.world, self.world.day_of(touch.sent.created_at)
        return (
            group_of(touch.sent) == self.channel
            and world.has_closed(touch.sent.created_at, length)
            and world.is_in_period(day, self.period, world.closed_day(length))
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
        tracking_off = self._tracking_off() if self.channel == "EMAIL" else None
        return {
            "sequence_template_id": id_of(self.sequence),
            "channel": self.channel,
            "period": self.period,
            "sends": self._sent(lambda done: done.messages),
            "invitations": self._sent(lambda done: done.invitations),
            "eligible_for_open": sum(map(len, readable)),
            "eligible_for_reply": sum(map(len, answerable)),
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

    def _messages(self, length: int) -> list[list[Touch]]:
        """Return the messages whose outcomes are known, for each run that has some."""
        found = [[m for m in done.messages if self.is_rated(m, length)] for done in self.uncensored]
        return [messages for messages in found if messages]

    def _tasks(self, done: Done) -> list[Task]:
        mine = [task for task in done.tasks if group_of(task.created) == self.channel]
        return [task for task in mine if self.is_counted(task.created.created_at)]

    def _rates(self, of_message: str | None, of_run: str | None, found: list[list[bool]]) -> Row:
        """Return rates over messages and over runs, given which messages of each run were answered."""
        row: Row = {}
        if of_message is not None:
            row |= rate(of_message, sum(map(sum, found)), sum(map(len, found)), self.world.rules)
        if of_run is not None:
            row |= rate(of_run, sum(map(any, found)), len(found), self.world.rules)
        return row

    def _looks(self, runs: list[list[Touch]]) -> Row:
        length = self.world.rules.open_window_days
        opened = [[m.has(m.opens, length) for m in messages] for messages in runs]
        looked = [[m.has(m.slow_opens(self.world), length) for m in messages] for messages in runs]
        clicked = [[m.has(m.clicks, length) for m in messages] for messages in runs]
        return {
            **self._rates("email_open_rate", "contact_open_rate", opened),
            **self._rates("email_open_rate_adjusted", None, looked),
            **self._rates("email_click_rate", "contact_click_rate", clicked),
        }

    def _replies(self, runs: list[list[Touch]]) -> Row:
        length = self.world.rules.message_reply_window_days
        replied = [[m.has(m.replies, length) for m in messages] for messages in runs]
        return self._rates("reply_rate", "contact_reply_rate", replied)

    def _invitations(self) -> Row:
        length = self.world.rules.acceptance_window_days
        found = [[i for i in done.invitations if self.is_rated(i, length)] for done in self.uncensored]
        accepted = [[i.has(i.acceptances, length) for i in invitations] for invitations in found]
        replied = [[i.has(i.replies_after, length) for i in invitations] for invitations in found]
        return {
            **self._rates("invitation_acceptance_rate", None, accepted),
            **self._rates("invitation_to_reply_rate", None, replied),
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

    def _tracking_off(self) -> bool:
        """Whether the last 28 days have many emails, and no open or click has come since they began."""
        world = self.world
        if world.last_known is None:
            return False
        first = world.last_known - 27 * ONE_DAY
        messages = [message.sent for done in self.all_done for message in done.messages]
        recent = [m for m in messages if first <= world.day_of(m.created_at) <= world.last_known]
        looks = [done.run.row["last_look_at"] for done in self.all_done]
        has_looks = any(look is not None and look >= world.midnight(first) for look in looks)
        emails = sum(channel_of(message) == "EMAIL" for message in recent)
        return emails >= world.rules.tracking_off_sends and not has_looks
