"""The week that can be judged, held against the one before: in a sentence, with its interval, never more than that."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

from topo_pipeline.report import words
from topo_pipeline.report.attention import Quality
from topo_pipeline.report.queries import of_outcome

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["up", "down", "no_clear_change", "not_compared"]
VERDICTS: dict[Verdict, str] = {
    "up": "clearly up",
    "down": "clearly down",
    "no_clear_change": "no clear change",
    "not_compared": "not compared",
}
OUTCOMES = {"reply_rate": "Reply rate", "positive_reply_rate": "Positive replies", "meeting_rate": "Meetings booked"}


@dataclass(frozen=True)
class Judged:
    """An outcome of the last week whose windows have closed.

    Attributes:
        name: the outcome's.
        week_start: the week's Monday.
        row: the week's numbers, as `queries.weekly_rates` has them.
        before: those of the week that it is held against; empty where there is none.
        verdict: what its change from the week before comes to.
        change: a sentence on that.
    """

    name: str
    week_start: date
    row: Mapping[Hashable, Any]
    before: Mapping[Hashable, Any]
    verdict: Verdict
    change: str


def judged(weeks: "pd.DataFrame", *, evidence_small: int) -> list[Judged]:
    """Each outcome's last week; nothing where no week can be judged yet."""
    if weeks.empty:
        return []
    return [
        _judged(name, of_outcome(weeks, outcome).to_dict("records"), evidence_small)
        for outcome, name in OUTCOMES.items()
    ]


def not_yet(quality: Quality, *, reply_window_days: int) -> str:
    """Why no week can be judged yet, and from when on one can."""
    if quality.first_day is None:
        return "Nothing has been read yet."
    monday = quality.first_day - timedelta(days=quality.first_day.weekday())
    due = monday + timedelta(days=7 + reply_window_days)
    return (
        f"A week is judged once everybody contacted in it has had {reply_window_days} days to reply."
        f" For {words.week(monday)}, the first that was read, that is from {words.day(due)} on,"
        " if anybody was contacted in it."
    )


def _judged(name: str, rows: list[dict[Hashable, Any]], evidence_small: int) -> Judged:
    row = rows[-1]
    before = rows[-2] if words.known(row["previous_rate"]) else {}
    verdict = _verdict(row)
    return Judged(name, row["week_start"].date(), row, before, verdict, _change(row, verdict, evidence_small))


def _verdict(row: Mapping[Hashable, Any]) -> Verdict:
    if not row["is_comparable"]:
        return "not_compared"
    if row["change_low"] > 0:
        return "up"
    return "down" if row["change_high"] < 0 else "no_clear_change"


def _change(row: Mapping[Hashable, Any], verdict: Verdict, evidence_small: int) -> str:
    if not words.known(row["previous_rate"]):
        return "There is no week before it to compare with."
    before = f"The week before: {words.percent(row['previous_rate'])} of {words.count(row['previous_den'])}."
    if verdict != "not_compared":
        bounds = f"{words.points(row['change_low'])} to {words.points(row['change_high'])}"
        return f"{before} Change: {words.points(row['change'])} points, 95% interval {bounds}: {VERDICTS[verdict]}."
    if min(row["den"], row["previous_den"]) < evidence_small:
        return f"{before} Fewer than {evidence_small} contacts in one of the weeks: too few to compare."
    return f"{before} Days of their windows were never read, so the two are not compared."
