"""The latest mature week compared with the week before: the rates, their intervals, and a sentence on the change."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

from topo_pipeline.common.text import percent
from topo_pipeline.report import words
from topo_pipeline.report.attention import Quality
from topo_pipeline.report.queries import of_outcome, records

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
    """An outcome of the latest mature week (all its outcome windows have closed).

    Attributes:
        name: Name of the outcome.
        week_start: The Monday of the week.
        row: The week's row of `queries.weekly_rates`.
        before: The row of the week before. Empty if there is none.
        verdict: Whether the rate changed from the week before.
        change: A sentence that explains the verdict.
    """

    name: str
    week_start: date
    row: Mapping[str, Any]
    before: Mapping[str, Any]
    verdict: Verdict
    change: str


def judged(weeks: "pd.DataFrame", *, evidence_small: int) -> list[Judged]:
    """Return the latest mature week of each outcome, or nothing if no week is mature yet."""
    rows = {name: records(of_outcome(weeks, outcome)) for outcome, name in OUTCOMES.items()}
    return [_judged(name, found, evidence_small) for name, found in rows.items() if found]


def not_yet(quality: Quality, *, reply_window_days: int) -> str:
    """Return why no week is mature yet, and when the first one will be."""
    if quality.first_day is None:
        return "Nothing has been read yet."
    monday = quality.first_day - timedelta(days=quality.first_day.weekday())
    due = monday + timedelta(days=7 + reply_window_days)
    return (
        f"A week is complete once everyone first messaged or invited in it has had {reply_window_days} days to reply."
        f" The first week, {words.week(monday)}, is complete on {words.day(due)} at the earliest."
    )


def _judged(name: str, rows: list[dict[str, Any]], evidence_small: int) -> Judged:
    row = rows[-1]
    before = {} if row["previous_rate"] is None else rows[-2]
    verdict = _verdict(row)
    return Judged(name, row["week_start"].date(), row, before, verdict, _change(row, verdict, evidence_small))


def _verdict(row: Mapping[str, Any]) -> Verdict:
    if not row["is_comparable"]:
        return "not_compared"
    if row["change_low"] > 0:
        return "up"
    return "down" if row["change_high"] < 0 else "no_clear_change"


def _change(row: Mapping[str, Any], verdict: Verdict, evidence_small: int) -> str:
    if row["previous_rate"] is None:
        return "There is no week before it to compare with."
    before = f"The week before: {percent(row['previous_rate'])} of {words.count(row['previous_den'])}."
    if verdict != "not_compared":
        bounds = f"{words.points(row['change_low'])} to {words.points(row['change_high'])}"
        return f"{before} Change: {words.points(row['change'])} points, 95% interval {bounds}: {VERDICTS[verdict]}."
    if min(row["den"], row["previous_den"]) < evidence_small:
        return f"{before} Fewer than {evidence_small} contacts in one of the weeks: too few to compare."
    return f"{before} A day in their windows was not read in full, so the two are not compared."
