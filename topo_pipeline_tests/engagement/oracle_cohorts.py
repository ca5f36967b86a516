"""Cohorts from their definitions: each run is looked at whole, once for every number that it may be in."""

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from topo_pipeline_tests.engagement.oracle_rates import Row, no_rate, rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from topo_pipeline_tests.engagement.helpers import Activity
    from topo_pipeline_tests.engagement.oracle import Oracle

START_OF = {"sent": "contacted_at", "enrolled": "enrolled_at"}
# Over the contacted runs whose window has closed: what has to come within it.
OVER_CONTACTED = {
    "reply_rate": "first_valid_reply_at",
    "reply_rate_all": "first_reply_at",
    "positive_reply_rate": "first_positive_reply_at",
    "hot_lead_rate": "hot_lead_at",
    "meeting_rate": "meeting_at",
}
# Over those of them that had one thing: that had another too.
OVER_OUTCOMES = {
    "positive_share_of_replies": ("classified_at", "first_positive_reply_at"),
    "classification_coverage": ("first_valid_reply_at", "classified_at"),
    "reply_to_meeting_rate": ("first_valid_reply_at", "meeting_at"),
}
OVER_ENROLLED = {"contact_rate": "contacted_at", "completion_rate": "completed_at", "stop_rate": "stopped_at"}
TO_DATE = {
    "replies_to_date": ("reply_rate_to_date", "first_valid_reply_at"),
    "positive_replies_to_date": ("positive_reply_rate_to_date", "first_positive_reply_at"),
    "hot_leads_to_date": ("hot_lead_rate_to_date", "hot_lead_at"),
    "meetings_to_date": ("meeting_rate_to_date", "meeting_at"),
}


def runs_of(oracle: "Oracle") -> list[Row]:
    """Each run's row, and what more of it cohorts ask for."""
    histories = oracle.histories().values()
    return [row | _more(oracle, h) for row, h in zip(oracle.sequence_runs(), histories, strict=True)]


def _more(oracle: "Oracle", history: "list[Activity]") -> Row:
    types = [activity.type for activity in history]
    valid = [a for a in history if a.type == "message.replied" and a.category not in oracle.not_human]
    pauses = [type_ for type_ in types if type_ in {"sequence.paused", "sequence.resumed"}]
    touches = [a.created_at for a in history if a.type in {"message.sent", "invitation.sent"}]
    return {
        "classified_at": next((a.created_at for a in valid if a.category is not None), None),
        "touches": sum(at <= valid[0].created_at for at in touches) if valid else None,
        "paused": pauses[-1:] == ["sequence.paused"]
        and "sequence.completed" not in types
        and "sequence.stopped" not in types,
    }


def closed_by(oracle: "Oracle", run: Row, start: str) -> bool:
    """Whether the run's outcome window from a start has closed."""
    as_of = oracle.as_of()
    return as_of is not None and run[start] is not None and run[start] + oracle.window <= as_of


def within(oracle: "Oracle", column: str, start: str) -> "Callable[[Row], bool]":
    """Whether a run's event came within the window of its start."""

    def is_within(run: Row) -> bool:
        return run[column] is not None and run[start] <= run[column] <= run[start] + oracle.window

    return is_within


def message_rates(oracle: "Oracle", runs: list[Row]) -> Row:
    """The rates over contacted runs, of those among these whose window has closed."""
    closed = [run for run in runs if closed_by(oracle, run, "contacted_at")]
    row: Row = {}
    for name, column in OVER_CONTACTED.items():
        row |= rate(name, sum(map(within(oracle, column, "contacted_at"), closed)), len(closed))
    for name, (first, then) in OVER_OUTCOMES.items():
        among = list(filter(within(oracle, first, "contacted_at"), closed))
        row |= rate(name, sum(map(within(oracle, then, "contacted_at"), among)), len(among))
    return row


def sequence_cohorts(oracle: "Oracle") -> list[Row]:
    cohorts: dict[tuple[str | None, date, str], list[Row]] = {}
    for run in runs_of(oracle):
        for axis, start in START_OF.items():
            if run[start] is not None and not run["left_censored"]:
                cohorts.setdefault((run["sequence_template_id"], oracle.day_of(run[start]), axis), []).append(run)
    return [_cohort(oracle, *key, members) for key, members in cohorts.items()]


def _cohort(oracle: "Oracle", sequence: str | None, day: date, axis: str, members: list[Row]) -> Row:
    start = START_OF[axis]
    eligible = sum(closed_by(oracle, run, start) for run in members)
    missing = _days_missing(oracle, day)
    row: Row = {"sequence_template_id": sequence, "cohort_day": day, "axis": axis}
    row |= {"members": len(members), "eligible": eligible, "maturity": eligible / len(members)}
    row |= {"days_missing": missing, "is_mature": eligible == len(members) and missing == 0}
    row |= message_rates(oracle, members)
    touched = [run for run in members if closed_by(oracle, run, "touched_at")]
    replied = sum(map(within(oracle, "first_valid_reply_at", "touched_at"), touched))
    row |= rate("touch_reply_rate", replied, len(touched))
    for name, column in OVER_ENROLLED.items():
        enrolled = [run for run in members if closed_by(oracle, run, "enrolled_at")]
        happened = sum(map(within(oracle, column, "enrolled_at"), enrolled))
        row |= rate(name, happened, len(enrolled)) if axis == "enrolled" else no_rate(name)
    for count, (name, column) in TO_DATE.items():
        row[count] = sum(run[column] is not None and run[column] >= run[start] for run in members)
        row[name] = row[count] / len(members)
    return row | _hours_to_reply(oracle, members)


def _hours_to_reply(oracle: "Oracle", members: list[Row]) -> Row:
    closed = [run for run in members if closed_by(oracle, run, "contacted_at")]
    repliers = filter(within(oracle, "first_valid_reply_at", "contacted_at"), closed)
    hours = [(run["first_valid_reply_at"] - run["contacted_at"]) / timedelta(hours=1) for run in repliers]
    known = len(hours) >= 5
    return {
        "median_hours_to_first_reply": float(np.quantile(hours, 0.5)) if known else None,
        "p90_hours_to_first_reply": float(np.quantile(hours, 0.9)) if known else None,
    }


def _days_missing(oracle: "Oracle", day: date) -> int:
    last = last_closed_day(oracle)
    through = (day + timedelta(days=n) for n in range(oracle.window.days + 1))
    return sum(last is not None and d <= last and d not in oracle.landed for d in through)


def last_closed_day(oracle: "Oracle") -> date | None:
    return max(oracle.landed.keys() - oracle.open_days, default=None)


def last_mature_day(oracle: "Oracle") -> date | None:
    """The last day such that whoever started on it, up to its last moment, has a window that has closed."""
    day, as_of = last_closed_day(oracle), oracle.as_of()
    if day is None or as_of is None:
        return None
    while _end_of(oracle, day) + oracle.window > as_of:
        day -= timedelta(days=1)
    return day


def _end_of(oracle: "Oracle", day: date) -> datetime:
    return oracle.midnight(day + timedelta(days=1))
