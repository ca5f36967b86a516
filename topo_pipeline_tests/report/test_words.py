"""The report's wording of numbers, weeks, changes and data quality."""

from datetime import date, timedelta

import pandas as pd
import pytest

from topo_pipeline.report import words
from topo_pipeline.report.attention import Quality
from topo_pipeline.report.findings import facts
from topo_pipeline.report.headline import judged, not_yet

WEEK = date(2026, 10, 12)
GOOD = Quality(
    first_day=date(2026, 9, 24), last_day=date(2026, 11, 22), last_known_day=date(2026, 11, 22), days_missing=0,
    unproved=[], unreadable=0, as_of=date(2026, 11, 22), cohort_days_left_out=0,
    runs=200, left_censored=0, start_uncertain=0, touches_without_sequence=0, pending=0, replies=12,
)  # fmt: skip


def weeks(**changed: object) -> pd.DataFrame:
    row = {
        "week_start": pd.Timestamp(WEEK), "members": 420, "is_mature": True, "num": 35, "den": 420, "rate": 35 / 420,
        "low": 0.0605, "high": 0.1137, "evidence": "usable", "previous_num": 32, "previous_den": 432,
        "previous_rate": 32 / 432, "is_comparable": True,
        "change": 0.0093, "change_low": -0.0273, "change_high": 0.0462,
    }  # fmt: skip
    rows = [row | {"week_start": row["week_start"] - timedelta(days=7)}, row | changed]
    outcomes = ("reply_rate", "positive_reply_rate", "meeting_rate")
    return pd.DataFrame([{"outcome": outcome} | each for outcome in outcomes for each in rows])


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [
        ((-0.02, 0.04), "no_clear_change"),
        ((0.0, 0.04), "no_clear_change"),
        ((-0.04, 0.0), "no_clear_change"),
        ((0.001, 0.04), "up"),
        ((-0.04, -0.001), "down"),
    ],
)
def test_a_change_is_clear_only_if_its_interval_excludes_zero(bounds: tuple[float, float], verdict: str) -> None:
    reply, *_ = judged(weeks(change_low=bounds[0], change_high=bounds[1]), evidence_small=30)
    assert reply.verdict == verdict
    assert verdict.replace("_", " ") in reply.change or f"clearly {verdict}" in reply.change


def test_a_change_is_shown_with_its_interval() -> None:
    reply, positive, meetings = judged(weeks(), evidence_small=30)
    assert (reply.name, positive.name, meetings.name) == ("Reply rate", "Positive replies", "Meetings booked")
    assert reply.week_start == WEEK
    assert reply.change == (
        "The week before: 7.4% of 432. Change: +0.9 points, 95% interval −2.7 to +4.6: no clear change."
    )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"previous_num": None, "previous_den": None, "previous_rate": float("nan"), "is_comparable": False},
            "no week",
        ),
        ({"previous_den": 12, "is_comparable": False}, "Fewer than 30 contacts"),
        ({"is_comparable": False}, "not read in full"),
    ],
)
def test_a_week_that_cannot_be_compared_says_why(changed: dict[str, object], told: str) -> None:
    reply, *_ = judged(weeks(**changed), evidence_small=30)
    assert reply.verdict == "not_compared"
    assert told in reply.change


def test_without_a_complete_week_the_page_says_when_the_first_will_be() -> None:
    assert judged(weeks()[:0], evidence_small=30) == []
    told = not_yet(GOOD, reply_window_days=30)
    assert "21–27 September 2026" in told
    assert "complete on 28 October 2026 at the earliest" in told


def test_only_data_quality_problems_are_marked() -> None:
    assert all(fact.ok for fact in facts(GOOD))
    days = [date(2026, 11, day) for day in (9, 8, 7, 6, 5, 4, 3)]
    bad = Quality(
        first_day=date(2026, 9, 24), last_day=date(2026, 11, 22), last_known_day=date(2026, 11, 22), days_missing=2,
        unproved=days, unreadable=3, as_of=date(2026, 11, 20), cohort_days_left_out=33,
        runs=200, left_censored=20, start_uncertain=3, touches_without_sequence=12, pending=5, replies=12,
    )  # fmt: skip
    assert [fact.text for fact in facts(bad) if not fact.ok] == [
        "Days up to 22 November 2026 have landed, but are not in the tables yet",
        "2 days missing since 24 September 2026",
        "7 days not proved complete: Mon 9 Nov, Sun 8 Nov, Sat 7 Nov, Fri 6 Nov, Thu 5 Nov and 2 others",
        "Contacts of 33 days are in no rate: a day in their time to reply was not read in full",
        "3 rows could not be read",
    ]
    told = [fact.text for fact in facts(bad) if fact.ok]
    assert "5 of 12 replies not classified yet" in told
    assert "10.0% of all contacts may have begun before the first landed day: in totals, in no rate" in told
    assert (
        "1.5% of all contacts may have been touched first on a day that was not read in full: in totals, in no rate"
        in told
    )
    assert "12 messages and invitations without a sequence: in totals, not in the list of sequences" in told


@pytest.mark.parametrize(
    ("monday", "told", "short"),
    [
        (date(2026, 10, 12), "12–18 October 2026", "12–18 Oct"),
        (date(2026, 9, 28), "28 September – 4 October 2026", "28 Sep – 4 Oct"),
        (date(2026, 12, 28), "28 December 2026 – 3 January 2027", "28 Dec – 3 Jan"),
    ],
)
def test_a_week_is_named_by_its_days(monday: date, told: str, short: str) -> None:
    assert (words.week(monday), words.short_week(monday)) == (told, short)


@pytest.mark.parametrize(
    ("difference", "told"), [(0.0093, "+0.9"), (-0.0273, "−2.7"), (0.0004, "0.0"), (-0.0004, "0.0")]
)
def test_a_difference_is_signed_unless_it_rounds_to_zero(difference: float, told: str) -> None:
    assert words.points(difference) == told


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Outbound", "Outbound"),
        ("two\nlines\tand\x07a bell\u2028end", "two lines and a bell end"),
        (" \n ", "an id"),
        (None, "an id"),
        ("\u202eright to left", "right to left"),
        ("x" * 10_000, "x" * 119 + "…"),
        ("👨\u200d👩\u200d👧 family", "👨\u200d👩\u200d👧 family"),
    ],
)
def test_a_sequence_label_is_its_name_on_one_line_or_its_id(name: str | None, label: str) -> None:
    assert words.label(name, "an id") == label
