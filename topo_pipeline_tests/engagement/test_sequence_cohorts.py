"""Cohorts: rates over runs whose window has closed, by the day on which the runs started."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import (
    Activity,
    Cases,
    Workspace,
    canonical,
    enrolled,
    march,
    replied,
    sent,
    uid,
)
from topo_pipeline_tests.engagement.oracle import OVER_ELIGIBLE, OVER_ENROLLED, OVER_OUTCOMES, no_rate, rate

DAY_1 = date(2026, 3, 1)
LAST_DAY = date(2026, 4, 30)
MONDAY = march(2)
SENDS = (200, 250, 300, 400)  # at least a quarter more each week, as far as 6.0 % of each can be whole runs
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
YOUNG = march(59)  # April 28th, of which no window has closed by the last day

cases = Cases()


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    """What history there is begins on March 1st and ends with April."""
    shared.land_all(cases.activities, DAY_1, LAST_DAY)
    shared.build()
    return shared


def days_between(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def share(row: dict[str, Any], name: str) -> tuple[int | None, int | None]:
    return row[f"{name}_num"], row[f"{name}_den"]


def growing() -> Iterator[Activity]:
    """Weeks of ever more first messages; 6 of 100 reply: half of them a day later, half after nine days."""
    for week, sends in enumerate(SENDS):
        at = MONDAY + timedelta(weeks=week)
        for number in range(sends):
            run = f"{week} {number}"
            yield enrolled(at, run)
            yield sent(at + timedelta(hours=1), run)
            if number < sends * 6 // 100:
                yield replied(at + timedelta(days=1 if number % 2 else 9), run)


def test_while_sends_grow_the_mature_cohort_reads_the_true_rate_and_the_same_week_does_not(
    workspace: Workspace,
) -> None:
    workspace.rules = Rules(reply_window_days=10)
    last = MONDAY + timedelta(weeks=len(SENDS), days=9)  # of Sunday's windows
    workspace.land_all(growing(), *days_between(MONDAY.date(), last.date()))
    workspace.build()
    for week in range(len(SENDS)):
        cohort = workspace.cohorts()[(MONDAY + timedelta(weeks=week)).date()]
        assert cohort["is_mature"]
        assert cohort["reply_rate"] == pytest.approx(0.06, abs=1e-12)
    daily = workspace.daily()
    same_week = []
    for week in range(len(SENDS)):
        days = [daily[(MONDAY + timedelta(weeks=week, days=n)).date()] for n in range(7)]
        same_week.append(sum(d["total_replies"] for d in days) / sum(d["total_sent"] for d in days))
    assert max(same_week) < 0.058
    weeks = workspace.trend()
    assert [row["reply_rate"] for row in weeks.values()] == pytest.approx([0.06] * len(SENDS), abs=1e-12)
    assert {row["signal"] for row in weeks.values()} == {None, "no_clear_change"}


@cases.happened(enrolled(YOUNG), sent(YOUNG + HOUR), replied(YOUNG + DAY))
def test_a_young_cohort_has_members_and_no_rate(case: Workspace) -> None:
    for axis in ("sent", "enrolled"):
        cohort = case.cohorts(axis)[YOUNG.date()]
        assert (cohort["members"], cohort["eligible"], cohort["maturity"], cohort["is_mature"]) == (1, 0, 0.0, False)
        for name in (*OVER_ELIGIBLE, *OVER_OUTCOMES, "touch_reply_rate"):
            expected = rate(name, 0, 0)
            assert {column: cohort[column] for column in expected} == expected


@cases.happened(
    *(enrolled(YOUNG, run) for run in "ABCD"),
    *(sent(YOUNG + HOUR, run) for run in "ABCD"),
    replied(YOUNG + DAY, "A", category="MEETING"),
    replied(YOUNG + DAY, "B"),
    Activity("hot_lead.created", YOUNG + DAY, "B"),
    Activity("meeting.created", YOUNG + 2 * DAY, "A"),
    replied(YOUNG + HOUR / 2, "D", channel="LINKEDIN"),
)
def test_what_a_young_cohort_has_so_far_is_shown_as_such(case: Workspace) -> None:
    counts = ("replies_to_date", "positive_replies_to_date", "hot_leads_to_date", "meetings_to_date")
    by_message, by_enrolment = (case.cohorts(axis)[YOUNG.date()] for axis in ("sent", "enrolled"))
    assert [by_message[name] for name in counts] == [2, 1, 1, 1]
    assert by_message["reply_rate_to_date"] == 0.5
    # Since their enrolment one more has replied than since their first message.
    assert [by_enrolment[name] for name in counts] == [3, 1, 1, 1]


@cases.happened(enrolled(march(1)), sent(march(1)), replied(march(31, 9, 0, 1)))
def test_what_is_late_counts_to_date_and_in_no_rate(case: Workspace) -> None:
    cohort = case.cohorts()[DAY_1]
    assert (share(cohort, "reply_rate"), cohort["replies_to_date"]) == ((0, 1), 1)


def test_each_axis_counts_from_its_own_start(workspace: Workspace) -> None:
    """Enrolled on March 1st, contacted on the 21st, with a window of ten days, known up to the 25th."""
    workspace.land_all([enrolled(march(1)), sent(march(21)), Activity("sequence.stopped", march(11))], march(25).date())
    workspace.build(rules=Rules(reply_window_days=10))
    by_enrolment, by_message = workspace.cohorts("enrolled"), workspace.cohorts("sent")
    assert ([*by_enrolment], [*by_message]) == ([DAY_1], [march(21).date()])
    assert by_enrolment[DAY_1]["eligible"] == 1
    assert share(by_enrolment[DAY_1], "contact_rate") == (0, 1)
    assert share(by_enrolment[DAY_1], "stop_rate") == (1, 1)
    assert share(by_enrolment[DAY_1], "reply_rate") == (0, 0)
    assert by_message[march(21).date()]["eligible"] == 0


@cases.happened(enrolled(march(1)), sent(march(2)), Activity("sequence.completed", march(3)))
def test_rates_of_enrolments_have_no_meaning_on_the_axis_of_messages(case: Workspace) -> None:
    for name in OVER_ENROLLED:
        by_message = case.cohorts("sent")[march(2).date()]
        assert {column: by_message[column] for column in no_rate(name)} == no_rate(name)
        by_enrolment = case.cohorts("enrolled")[DAY_1]
        assert share(by_enrolment, name) == (0 if name == "stop_rate" else 1, 1)


@cases.happened(
    enrolled(march(1, 8)),
    Activity("invitation.sent", march(1), channel="LINKEDIN"),
    replied(march(2), channel="LINKEDIN"),
)
def test_an_invitation_is_a_touch_and_no_message(case: Workspace) -> None:
    assert case.cohorts("sent") == {}
    cohort = case.cohorts("enrolled")[DAY_1]
    assert (share(cohort, "touch_reply_rate"), share(cohort, "reply_rate")) == ((1, 1), (0, 0))


CATEGORIES = ("MEETING", "BAD_TIMING", "UNKNOWN", None, "OUT_OF_OFFICE")


@cases.happened(
    *(did for run in CATEGORIES for did in (enrolled(march(1, 8), str(run)), sent(march(1), str(run)))),
    *(replied(march(2), str(category), category=category) for category in CATEGORIES),
    Activity("meeting.created", march(4), "BAD_TIMING"),
)
def test_a_positive_share_is_over_classified_replies_and_its_coverage_over_valid_ones(case: Workspace) -> None:
    cohort = case.cohorts()[DAY_1]
    assert share(cohort, "positive_share_of_replies") == (1, 3)
    assert share(cohort, "classification_coverage") == (3, 4)
    assert share(cohort, "reply_to_meeting_rate") == (1, 4)


EARLY = [replied(march(1, 8, 30), "first"), replied(march(1, 8, 30), "classified", category="BAD_TIMING")]


@cases.happened(
    *EARLY,
    *(did for early in EARLY for did in (enrolled(march(1, 8), early.run), sent(march(1), early.run))),
    *(replied(march(2), early.run, category="MEETING") for early in EARLY),
    *(Activity("meeting.created", march(3), early.run) for early in EARLY),
)
def test_a_numerators_runs_are_the_denominators(case: Workspace) -> None:
    """A run whose first reply came before its first message replied to no message, whatever was classified later."""
    cohort = case.cohorts()[DAY_1]
    assert share(cohort, "reply_rate") == (0, 2)
    assert share(cohort, "positive_reply_rate") == (2, 2)
    assert share(cohort, "positive_share_of_replies") == (1, 1)
    assert share(cohort, "classification_coverage") == (0, 0)
    assert share(cohort, "reply_to_meeting_rate") == (0, 0)


def repliers(number: int) -> str:
    """The case of nine contacted runs, of which this many reply hour after hour and one replies too late."""
    begun = [did for n in range(9) for did in (enrolled(march(1, 8), str(n)), sent(march(1), str(n)))]
    return cases.add(
        *begun, *(replied(march(1, 10 + n), str(n)) for n in range(number)), replied(march(31, 9, 0, 1), "8")
    )


@pytest.mark.parametrize(
    ("case", "median", "p90"),
    [(repliers(4), None, None), (repliers(5), 3.0, 4.6)],
    indirect=["case"],
    ids=["four", "five"],
)
def test_hours_to_a_reply_need_five_repliers(case: Workspace, median: float | None, p90: float | None) -> None:
    found = [case.cohorts()[DAY_1][f"{name}_hours_to_first_reply"] for name in ("median", "p90")]
    assert found == ([median, p90] if median is None else pytest.approx([median, p90]))


@cases.happened(sent(march(2), "old"), enrolled(march(2, 8)), sent(march(2)), sent(march(40), "new"))
def test_a_left_censored_run_is_in_no_cohort(case: Workspace) -> None:
    """History starts on March 1st: a run without its enrolment, seen within 30 days, may have begun before."""
    assert {day: row["members"] for day, row in case.cohorts().items()} == {
        march(2).date(): 1,
        march(40).date(): 1,
    }


def test_a_day_missing_from_an_outcome_window_is_told_and_the_cohort_is_not_mature(workspace: Workspace) -> None:
    contacted = [a for day in (1, 2, 4) for a in (enrolled(march(day, 8), str(day)), sent(march(day), str(day)))]
    landed = [day for day in days_between(DAY_1, march(7).date()) if day != march(3).date()]
    workspace.land_all(contacted, *landed)
    workspace.build(rules=Rules(reply_window_days=2))
    expected = {1: (1, False), 2: (1, False), 4: (0, True)}
    found = {d.day: (row["days_missing"], row["is_mature"]) for d, row in workspace.cohorts().items()}
    assert found == expected
    assert {row["eligible"] for row in workspace.cohorts().values()} == {1}


def test_days_that_are_yet_to_come_are_not_missing(workspace: Workspace) -> None:
    days = (march(3).date(), march(5).date())
    workspace.land_all([enrolled(march(1)), sent(march(1, 10))], *days, still_open=days[-1])
    workspace.build()
    assert workspace.cohorts()[DAY_1]["days_missing"] == 1  # the 2nd; the 3rd is the last closed one


def test_a_cohort_of_a_day_that_is_open_misses_nothing_yet(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(1, 10))], still_open=DAY_1)
    workspace.build()
    cohort = workspace.cohorts()[DAY_1]
    assert (cohort["days_missing"], cohort["eligible"], cohort["is_mature"]) == (0, 0, False)


@pytest.mark.parametrize(("zone", "day"), [("Europe/Paris", 2), ("America/New_York", 1)])
def test_a_cohort_day_is_the_zones(workspace: Workspace, zone: str, day: int) -> None:
    workspace.zone = zone
    workspace.land_all([enrolled(march(1, 10)), sent(march(1, 23, 30))])
    workspace.build()
    assert list(workspace.cohorts()) == [march(day).date()]


def test_a_window_is_so_many_times_24_hours_whatever_the_clocks_do(workspace: Workspace) -> None:
    """In Paris March 29th has 23 hours: two days from the 28th, 23:30 end on the 31st, 00:30 summer time."""
    workspace.zone = "Europe/Paris"
    late = datetime(2026, 3, 28, 22, 30, tzinfo=UTC)
    workspace.land_all([enrolled(late), sent(late)], date(2026, 3, 29), date(2026, 3, 30))
    workspace.land(date(2026, 3, 31), [replied(late + timedelta(days=2))], is_open=True)
    workspace.build("sequence_runs", "sequence_cohorts", rules=Rules(reply_window_days=2))
    assert workspace.cohorts()[date(2026, 3, 28)]["eligible"] == 0
    workspace.land(date(2026, 3, 31), [replied(late + timedelta(days=2))])
    workspace.build("sequence_runs", "sequence_cohorts", rules=Rules(reply_window_days=2))
    cohort = workspace.cohorts()[date(2026, 3, 28)]
    assert (cohort["eligible"], share(cohort, "reply_rate")) == (1, (1, 1))


MANY = """
INSERT INTO engagement.sequence_runs BY NAME
SELECT $sequence::UUID AS sequence_template_id, uuid() AS sequence_id, false AS left_censored,
    day AS first_activity_at, day AS enrolled_at, day AS contacted_at, day AS touched_at,
    CASE WHEN n < $replies THEN day + INTERVAL 5 HOUR END AS first_valid_reply_at
FROM range(50000) AS runs(n) CROSS JOIN (
    SELECT unnest([TIMESTAMPTZ '2026-03-02 09:00:00+00', TIMESTAMPTZ '2026-03-09 09:00:00+00']) AS day)
"""


def test_a_cohort_of_more_runs_than_an_integers_root_has_its_interval(workspace: Workspace) -> None:
    workspace.rules = Rules(reply_window_days=7)
    workspace.land_all((), *days_between(DAY_1, march(22).date()))
    workspace.build("sequence_runs", "sequence_cohorts")
    with workspace.warehouse.transaction() as connection:
        connection.execute(MANY, {"sequence": uid("outbound"), "replies": 49_000})
        connection.execute(  # as the build of the runs notes what it changed
            "INSERT INTO engagement.sequence_firsts (sequence_template_id, day, load_id)"
            " SELECT DISTINCT sequence_template_id, contacted_at::DATE, uuid() FROM engagement.sequence_runs"
        )
    workspace.build("sequence_cohorts", "sequence_trends")
    expected = rate("reply_rate", 49_000, 50_000)
    for row in (*workspace.cohorts().values(), *workspace.trend().values()):
        assert canonical([{column: row[column] for column in expected}]) == canonical([expected])
    week = workspace.trend()[date(2026, 3, 9)]
    assert (week["change"], week["signal"]) == (0.0, "no_clear_change")
    assert week["change_low"] == pytest.approx(-week["change_high"], abs=1e-12)
