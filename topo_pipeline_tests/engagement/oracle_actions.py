"""`sequence_actions` from its definitions: what each run did, one action after the other."""

from datetime import datetime, timedelta
from typing import Any

from topo_pipeline_tests.engagement.helpers import Activity, uid
from topo_pipeline_tests.engagement.oracle_touches import (
    Landed,
    Task,
    Touch,
    answered_by,
    row_of,
    tasks_of,
    with_answers,
)

Row = dict[str, Any]

ENDS = ("sequence.completed", "sequence.stopped")
STEP_ENDS = ("sequence_step.completed", "sequence_step.skipped")
# NULL on every other action.
OF_TOUCHES = (
    "position", "is_repeat", "opened_at", "looked_at", "clicked_at", "replied_at", "is_first_reply", "accepted_at",
    "replied_after_at", "exit_reason",
)  # fmt: skip
OF_TASKS = ("closed_at", "closed_by")
# False on every action that nothing answered.
IN_TIME = (
    "opened_in_time", "looked_in_time", "clicked_in_time", "replied_in_time", "accepted_in_time",
    "replied_after_in_time",
)  # fmt: skip


def sequence_actions(landed: Landed, runs: list[Row]) -> list[Row]:
    """Every run's actions; `runs` are the rows of sequence_runs, in the same order as the runs landed."""
    return [
        {
            "sequence_template_id": None if sequence is None else uid(sequence),
            "sequence_id": uid(name),
            "left_censored": (sequence, name) in landed.censored,
        }
        | action
        for ((sequence, name), history), run in zip(landed.runs.items(), runs, strict=True)
        for action in _actions(landed, history, run["exit_reason"])
    ]


def _actions(landed: Landed, history: list[Activity], came_to: str) -> list[Row]:
    touched, replies = with_answers(landed, history), landed.valid_replies(history)
    answered = answered_by(replies[0], history) if replies else None
    did: list[tuple[Activity, Row]] = [(a, {}) for a in history if a.type in STEP_ENDS]
    did += [(task.created, _of_task(task)) for task in tasks_of(history)]
    for n, touch in enumerate(touched):
        of_run = {"is_first_reply": touch.sent is answered, "exit_reason": came_to if touch is touched[-1] else None}
        did.append((touch.sent, _of_touch(touch, touched[:n], landed.instant) | _in_time(touch, landed) | of_run))
    of_all: Row = dict.fromkeys((*OF_TOUCHES, *OF_TASKS)) | dict.fromkeys(IN_TIME, False)
    of_all["run_over_at"] = _over_at(history, landed.reply_window)
    return [
        of_all
        | {
            "activity_id": activity.id,
            "type": activity.type,
            "channel": row_of(activity),
            "step": activity.step,
            "acted_at": activity.created_at,
            "is_replied_before": bool(replies) and replies[0].created_at < activity.created_at,
        }
        | more
        for activity, more in did
    ]


def _of_touch(touch: Touch, earlier: list[Touch], instant: timedelta) -> Row:
    places = [(other.sent.step, row_of(other.sent)) for other in earlier]
    return {
        "position": len(earlier) + 1,
        "is_repeat": touch.sent.step is not None and (touch.sent.step, row_of(touch.sent)) in places,
        "opened_at": _first(touch.opens),
        "looked_at": _first(touch.slow_opens(instant)),
        "clicked_at": _first(touch.clicks),
        "replied_at": _first(touch.replies),
        "accepted_at": _first(touch.acceptances),
        "replied_after_at": _first(touch.replies_after),
    }


def _in_time(touch: Touch, landed: Landed) -> Row:
    """Which answers came while they counted, each in its window."""
    windows = {
        "opened": (touch.opens, landed.open_window),
        "looked": (touch.slow_opens(landed.instant), landed.open_window),
        "clicked": (touch.clicks, landed.open_window),
        "replied": (touch.replies, landed.message_window),
        "accepted": (touch.acceptances, landed.acceptance_window),
        "replied_after": (touch.replies_after, landed.acceptance_window),
    }
    return {
        f"{answer}_in_time": any(moment <= touch.sent.created_at + window for moment in moments)
        for answer, (moments, window) in windows.items()
    }


def _of_task(task: Task) -> Row:
    return {"closed_at": task.closed.created_at, "closed_by": task.closed.type} if task.closed else {}


def _over_at(history: list[Activity], window: timedelta) -> datetime:
    """The end of a run: the first that is told, or that of the window since anything happened."""
    return min(
        [activity.created_at for activity in history if activity.type in ENDS] + [history[-1].created_at + window]
    )


def _first(moments: list[datetime]) -> datetime | None:
    return min(moments, default=None)
