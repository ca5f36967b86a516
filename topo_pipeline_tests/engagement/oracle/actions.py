"""`sequence_actions`: the messages, invitations, tasks and steps of each run, and what followed each."""

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from topo_pipeline_tests.engagement.helpers import Activity
from topo_pipeline_tests.engagement.oracle.answers import Task, Touch, answered_by, tasks_of, touches_with_answers
from topo_pipeline_tests.engagement.oracle.runs import Run, runs_of
from topo_pipeline_tests.engagement.oracle.world import ENDS, Row, World, group_of

STEP_ENDS = ("sequence_step.completed", "sequence_step.skipped")
# NULL on every other action.
OF_TOUCHES = (
    "position", "is_repeat", "arrived_at", "opened_at", "looked_at", "clicked_at", "replied_at", "is_first_reply",
    "is_first_positive_reply", "is_first_opt_out", "accepted_at", "replied_after_at", "exit_reason",
)  # fmt: skip
OF_TASKS = ("closed_at", "closed_by", "is_open_task")
# FALSE on every other action.
IN_TIME = (
    "opened_in_time", "looked_in_time", "clicked_in_time", "replied_in_time", "accepted_in_time",
    "replied_after_in_time",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Done:
    """What a run did: its messages and invitations with their answers, and its tasks."""

    run: Run
    touches: list[Touch]
    tasks: list[Task]

    @property
    def messages(self) -> list[Touch]:
        return [touch for touch in self.touches if touch.sent.type == "message.sent"]

    @property
    def invitations(self) -> list[Touch]:
        return [touch for touch in self.touches if touch.sent.type == "invitation.sent"]

    def answered_by_first(self, *classes: str) -> Activity | None:
        """Return the message or invitation that the first reply of these classes answers."""
        reply = self.run.first_reply(*classes)
        return None if reply is None else answered_by(reply, self.run.history)[1]

    @property
    def answered(self) -> Activity | None:
        """The message or invitation that the first valid reply answers."""
        return answered_by(self.run.valid_replies[0], self.run.history)[1] if self.run.valid_replies else None


@lru_cache(maxsize=4)
def done_in(world: World) -> list[Done]:
    """Return what each run did."""
    return [Done(run, touches_with_answers(world, run.history), tasks_of(run.history)) for run in runs_of(world)]


def sequence_actions(world: World) -> list[Row]:
    return [row for done in done_in(world) for row in _rows(world, done)]


def _rows(world: World, done: Done) -> list[Row]:
    run = done.run
    rows = [_of_all(world, run, activity) for activity in run.history if activity.type in STEP_ENDS]
    rows += [_of_all(world, run, task.created) | _of_task(task) for task in done.tasks]
    return rows + [_of_all(world, run, touch.sent) | _of_touch(world, done, n) for n, touch in enumerate(done.touches)]


def _of_all(world: World, run: Run, activity: Activity) -> Row:
    ends = [a.created_at for a in run.history if a.type in ENDS]
    silent = run.history[-1].created_at + world.rules.reply_window_days * timedelta(hours=24)
    replies = run.valid_replies
    return {
        **dict.fromkeys((*OF_TOUCHES, *OF_TASKS)),
        **dict.fromkeys(IN_TIME, False),
        **run.key,
        "left_censored": run.is_left_censored,
        "activity_id": activity.id,
        "type": activity.type,
        "channel": group_of(activity),
        "step": activity.step,
        "acted_at": activity.created_at,
        "is_replied_before": bool(replies) and replies[0].created_at < activity.created_at,
        "run_over_at": min([*ends, silent]),
    }


def _of_task(task: Task) -> Row:
    closed = task.closed
    return {
        "closed_at": closed.created_at if closed is not None else None,
        "closed_by": closed.type if closed is not None else None,
        "is_open_task": task.is_open,
    }


def _of_touch(world: World, done: Done, n: int) -> Row:
    touch, rules = done.touches[n], world.rules
    place = (touch.sent.step, group_of(touch.sent))
    answers = {
        "opened": (touch.opens, rules.open_window_days),
        "looked": (touch.slow_opens(world), rules.open_window_days),
        "clicked": (touch.clicks, rules.open_window_days),
        "replied": (touch.replies, rules.message_reply_window_days),
        "accepted": (touch.acceptances, rules.acceptance_window_days),
        "replied_after": (touch.replies_after, rules.acceptance_window_days),
    }
    there = [other for other in done.touches[:n] if (other.sent.step, group_of(other.sent)) == place]
    is_repeat = touch.sent.step is not None and bool(there)
    row: Row = {
        "position": n + 1,
        "is_repeat": is_repeat,
        "arrived_at": there[0].sent.created_at if is_repeat else touch.sent.created_at,
        "is_first_reply": touch.sent is done.answered,
        "is_first_positive_reply": touch.sent is done.answered_by_first("positive"),
        "is_first_opt_out": touch.sent is done.answered_by_first("opt_out"),
        "exit_reason": done.run.row["exit_reason"] if n == len(done.touches) - 1 else None,
    }
    for name, (moments, length) in answers.items():
        row[f"{name}_at"] = min(moments, default=None)
        row[f"{name}_in_time"] = touch.has(moments, length)
    return row
