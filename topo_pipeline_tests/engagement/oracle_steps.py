"""`sequence_steps` from its definitions, run by run."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from topo_pipeline_tests.engagement.helpers import Activity, uid
from topo_pipeline_tests.engagement.oracle_rates import no_rate, rate
from topo_pipeline_tests.engagement.oracle_touches import Landed, answered_by, row_of, touches

Row = dict[str, Any]
Place = tuple[str | None, int | None, int | None, str]

ENDS = ("sequence.completed", "sequence.stopped")


@dataclass(frozen=True)
class Visit:
    """One run at one place."""

    reached_at: datetime
    sends: int
    replied_at: datetime | None
    answered: Activity | None
    is_exit: bool
    is_settled: bool
    came_to: str


def sequence_steps(landed: Landed) -> list[Row]:
    visits: dict[Place, list[Visit]] = {}
    ended: dict[Place, list[Activity]] = {}
    for (sequence, _), history in landed.whole().items():
        for place, visit in _visits(landed, history).items():
            visits.setdefault((sequence, *place), []).append(visit)
        for activity in history:
            if activity.type in ("sequence_step.completed", "sequence_step.skipped") and activity.step is not None:
                ended.setdefault((sequence, activity.step, None, row_of(activity)), []).append(activity)
    return [
        {
            "sequence_template_id": None if place[0] is None else uid(place[0]),
            "step": place[1],
            "inferred_position": place[2],
            "channel": place[3],
            "as_of": landed.as_of,
        }
        | _of_runs(landed, visits.get(place, []))
        | _skips(place, ended.get(place, []))
        | _of_sequence({other: there for other, there in visits.items() if other[0] == place[0]}, place)
        for place in {*visits, *ended}
    ]


def _visits(landed: Landed, history: list[Activity]) -> dict[tuple[int | None, int | None, str], Visit]:
    replies = landed.valid_replies(history)
    answered = answered_by(replies[0], history) if replies else None
    places: dict[tuple[int | None, int | None, str], list[Activity]] = {}
    for position, touch in enumerate(touches(history), start=1):
        place = (touch.step, position if touch.step is None else None, row_of(touch))
        places.setdefault(place, []).append(touch)
    return {
        place: Visit(
            reached_at=there[0].created_at,
            sends=len(there),
            replied_at=replies[0].created_at if replies else None,
            answered=answered if answered in there else None,
            is_exit=touches(history)[-1] in there,
            is_settled=_is_settled(landed, history),
            came_to=_came_to(landed, history),
        )
        for place, there in places.items()
    }


def _is_settled(landed: Landed, history: list[Activity]) -> bool:
    ended = any(activity.type in ENDS and landed.is_over(activity.created_at) for activity in history)
    return ended or landed.is_over(history[-1].created_at + landed.reply_window)


def _came_to(landed: Landed, history: list[Activity]) -> str:
    types = {activity.type for activity in history}
    if "meeting.created" in types or landed.valid_replies(history):
        return "replied"
    if "sequence.stopped" in types:
        return "stopped"
    return "completed" if "sequence.completed" in types else "active"


def _of_runs(landed: Landed, visits: list[Visit]) -> Row:
    eligible = [
        visit
        for visit in visits
        if landed.is_over(visit.reached_at + landed.message_window)
        and not (visit.replied_at is not None and visit.replied_at < visit.reached_at)
    ]
    # In the window of the touch that it answers, which may be a later one than the run's first here.
    replied = [
        visit
        for visit in eligible
        if visit.answered is not None
        and visit.replied_at is not None
        and visit.replied_at <= (closed_at := visit.answered.created_at + landed.message_window)
        and landed.is_over(closed_at)
    ]
    settled = [visit for visit in visits if visit.is_settled]
    return {
        "runs_reached": len(visits),
        "sends": sum(visit.sends for visit in visits),
        **rate("step_reply_rate", len(replied), len(eligible)),
        **rate("advance_rate", sum(not visit.is_exit for visit in settled), len(settled)),
        **{
            f"exits_{came_to}": sum(visit.is_exit and visit.came_to == came_to for visit in visits)
            for came_to in ("replied", "stopped", "completed", "active")
        },
    }


def _skips(place: Place, ended: list[Activity]) -> Row:
    if place[1] is None:
        return no_rate("step_skip_rate")
    return rate("step_skip_rate", sum(activity.type == "sequence_step.skipped" for activity in ended), len(ended))


def _of_sequence(visits: dict[Place, list[Visit]], place: Place) -> Row:
    replies = {other: sum(visit.answered is not None for visit in there) for other, there in visits.items()}
    sends = {other: sum(visit.sends for visit in there) for other, there in visits.items()}
    known = sum(count for other, count in sends.items() if other[1] is not None)
    return {
        **rate("share_of_replies", replies.get(place, 0), sum(replies.values())),
        "step_coverage": known / sum(sends.values()) if sends else None,
    }
