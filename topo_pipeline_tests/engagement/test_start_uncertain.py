"""`start_uncertain`: the first touch of a run may be missing because a day is unknown."""

from collections.abc import Callable
from datetime import date

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import (
    KEPT,
    KEPT_BESIDE,
    Activity,
    Cases,
    Workspace,
    enrolled,
    march,
    opened,
    replied,
    sent,
)

CENSORED_DAYS = 3
RULES = Rules(censored_days=CENSORED_DAYS)
# Days of March that are unknown, each for another reason.
MISSING, OPEN, UNPROVED = 8, 18, 28
KINDS = {"missing": MISSING, "open": OPEN, "unproved": UNPROVED}
# The 35th is open too, but no later day is known.
LAST_KNOWN, LAST = 34, 35
BUILT = ("sequence_activity", "sequence_runs", "sequence_daily", "sequence_cohorts", "sequence_summary")

cases = Cases()

Around = dict[str, tuple[Callable[[int], list[Activity]], bool]]


def day_of(day: int) -> date:
    return march(day).date()


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    days = [day_of(day) for day in range(1, LAST + 1) if day != MISSING]
    open_days = [day_of(OPEN), day_of(LAST)]
    shared.rules = RULES
    shared.land_all(cases.activities, *days, open_days=open_days, unproved_days=[day_of(UNPROVED)])
    shared.build(*BUILT)
    return shared


def invited(at_day: int) -> Activity:
    return Activity("invitation.sent", march(at_day))


# Activities around an unknown day, and whether the start is uncertain. No activity is on the unknown day.
ENROLLED_RUNS: Around = {
    "enrolled before, touched after": (lambda day: [enrolled(march(day - 1)), sent(march(day + 1))], True),
    "an invitation is a touch": (lambda day: [enrolled(march(day - 1)), invited(day + 1), sent(march(day + 2))], True),
    "touched before": (lambda day: [enrolled(march(day - 1, 8)), sent(march(day - 1)), sent(march(day + 1))], False),
    "invited before": (lambda day: [enrolled(march(day - 1, 8)), invited(day - 1), sent(march(day + 1))], False),
    "enrolled after": (lambda day: [enrolled(march(day + 1, 8)), sent(march(day + 1))], False),
    "enrolled after the touch": (lambda day: [sent(march(day - 1)), enrolled(march(day + 1))], False),
    "never touched": (lambda day: [enrolled(march(day - 1)), opened(march(day + 1))], False),
    "enrolled long before": (lambda day: [enrolled(march(day - 6)), sent(march(day + 1))], True),
}
OTHER_RUNS: Around = {
    "first seen the day after": (lambda day: [sent(march(day + 1))], True),
    "first seen three days after": (lambda day: [sent(march(day + 3))], True),
    "first seen four days after": (lambda day: [sent(march(day + 4))], False),
    "first seen the day before": (lambda day: [opened(march(day - 1)), sent(march(day + 1))], False),
    "never touched, first seen the day after": (lambda day: [opened(march(day + 1))], True),
}
AROUND = [
    pytest.param(cases.add(*activities(day)), is_uncertain, id=f"{kind}: {name}")
    for kind, day in KINDS.items()
    for name, (activities, is_uncertain) in (ENROLLED_RUNS | OTHER_RUNS).items()
]


@pytest.mark.parametrize(("case", "is_uncertain"), AROUND, indirect=["case"])
def test_the_start_is_uncertain_where_an_unknown_day_may_hold_the_first_touch(
    case: Workspace, is_uncertain: bool
) -> None:
    row = case.run()
    assert (row["start_uncertain"], row["left_censored"]) == (is_uncertain, False)


ON_THE_DAY: Around = {
    "enrolled on it": (lambda day: [enrolled(march(day)), sent(march(day + 1))], True),
    "touched on it": (lambda day: [enrolled(march(day - 1)), sent(march(day))], False),
    "enrolled and touched on it": (lambda day: [enrolled(march(day, 8)), sent(march(day))], False),
    "not enrolled, first seen on it": (lambda day: [sent(march(day)), sent(march(day + 1))], False),
}


@pytest.mark.parametrize(
    ("case", "is_uncertain"),
    [
        pytest.param(cases.add(*activities(day)), is_uncertain, id=f"{name}, {day}")
        for day in (OPEN, UNPROVED)
        for name, (activities, is_uncertain) in ON_THE_DAY.items()
    ],
    indirect=["case"],
)
def test_activities_on_an_unknown_day(case: Workspace, is_uncertain: bool) -> None:
    assert case.run()["start_uncertain"] is is_uncertain


@cases.happened(enrolled(march(LAST_KNOWN)), sent(march(LAST)))
def test_an_open_day_after_the_last_known_one_is_not_unknown(case: Workspace) -> None:
    assert case.run()["start_uncertain"] is False


@cases.happened(
    # Its own enrolment counts before that in another sequence.
    *(enrolled(march(MISSING - 1), sequence="nurture"), enrolled(march(MISSING + 1, 8)), sent(march(MISSING + 1))),
    # Without one of its own, the other one counts.
    *(enrolled(march(MISSING - 1), "B", sequence="nurture"), sent(march(MISSING + 1), "B")),
    # No more than that: the days before the first activity don't matter for an enrolled run.
    *(enrolled(march(MISSING + 1), "C", sequence="nurture"), sent(march(MISSING + 1, 10), "C")),
)
def test_the_enrolment_of_a_run_can_be_in_another_sequence(case: Workspace) -> None:
    assert {run: case.run(run)["start_uncertain"] for run in "ABC"} == {"A": False, "B": True, "C": False}
    assert {case.run(run, "nurture")["start_uncertain"] for run in "ABC"} == {False}


@cases.happened(
    *(enrolled(march(MISSING - 1)), sent(march(MISSING + 1))),
    *(enrolled(march(MISSING + 1, 8), "B"), sent(march(MISSING + 1), "B")),
)
def test_a_run_of_uncertain_start_is_in_totals_and_uniques_but_in_no_cohort_of_touched_or_sent(
    case: Workspace,
) -> None:
    day, summary = case.daily()[day_of(MISSING + 1)], case.summary()
    assert (day["total_sent"], day["unique_sent"], day["unique_touched"]) == (2, 2, 2)
    assert (summary["runs"], summary["runs_start_uncertain"], summary["runs_left_censored"]) == (2, 1, 0)
    for axis in ("touched", "sent"):
        cohort = case.cohorts(axis)[day_of(MISSING + 1)]
        assert (cohort["members"], cohort["start_uncertain"]) == (1, 1)
    by_enrolment = case.cohorts("enrolled")
    assert {at: (row["members"], row["start_uncertain"]) for at, row in by_enrolment.items()} == {
        day_of(MISSING - 1): (1, 0),
        day_of(MISSING + 1): (1, 0),
    }


def cohorts_of(workspace: Workspace) -> list[tuple[int, ...]]:
    """Build. Return numbers of the cohorts of two sequences on the 3rd, of which only one run was enrolled."""
    workspace.build("sequence_activity", "sequence_runs", "sequence_daily", "sequence_cohorts")
    found = []
    for sequence, run in (("outbound", "A"), ("nurture", "B")):
        assert workspace.daily(sequence)[day_of(3)]["unique_touched"] == 1
        cohort = workspace.cohorts("touched", sequence)[day_of(3)]
        assert cohort["start_uncertain"] == workspace.run(run, sequence)["start_uncertain"]
        assert cohort["members"] == 1 - cohort["start_uncertain"]
        found.append(tuple(cohort[name] for name in ("start_uncertain", "eligible", "days_unknown")))
    return found


def test_a_load_of_the_unknown_day_changes_runs_that_it_does_not_touch_and_their_cohorts(workspace: Workspace) -> None:
    workspace.rules = Rules(censored_days=2, reply_window_days=1)
    of_others = [enrolled(march(2), "C")]
    # The 1st is landed, so that a run of the 3rd is not left-censored.
    activities = [enrolled(march(1)), sent(march(3)), sent(march(3), "B", sequence="nurture")]
    workspace.land_all(activities, *(day_of(day) for day in (1, 3, 4, 5)))
    assert cohorts_of(workspace) == [(1, 0, 0)] * 2
    workspace.land(day_of(2), of_others, proved=False)
    assert cohorts_of(workspace) == [(1, 0, 0)] * 2
    workspace.land(day_of(2), of_others)
    assert cohorts_of(workspace) == [(0, 1, 0)] * 2
    workspace.land(day_of(2), of_others, is_open=True)
    assert cohorts_of(workspace) == [(1, 0, 0)] * 2


def test_a_later_known_day_makes_an_open_day_unknown(workspace: Workspace) -> None:
    open_days = [day_of(2), day_of(3)]
    workspace.land_all([enrolled(march(1)), sent(march(3))], day_of(2), open_days=open_days)
    workspace.build("sequence_runs")
    assert workspace.run()["start_uncertain"] is False
    workspace.land(day_of(4))
    workspace.build("sequence_runs")
    assert workspace.run()["start_uncertain"] is True


def test_zero_censored_days_leave_the_rule_on_for_enrolled_runs_alone(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(3)), sent(march(3), "B")])
    workspace.build("sequence_runs", rules=Rules(censored_days=0))
    assert {run: workspace.run(run)["start_uncertain"] for run in "AB"} == {"A": True, "B": False}


def test_days_are_those_of_the_reporting_zone(workspace: Workspace) -> None:
    workspace.zone = "America/New_York"
    late, early = march(5, 4, 59), march(5, 5)  # 23:59 on the 4th and midnight of the 5th
    runs = {"A": [enrolled(late), sent(march(5, 12))], "B": [enrolled(early, "B"), sent(march(5, 12), "B")]}
    others = {"C": [sent(late, "C")], "D": [sent(early, "D")]}
    activities = [activity for of_run in (*runs.values(), *others.values()) for activity in of_run]
    workspace.rules = Rules(censored_days=1)
    workspace.land_all(activities, *(day_of(day) for day in range(1, 6)), unproved_days=[day_of(4)])
    workspace.build("sequence_runs")
    found = {run: workspace.run(run)["start_uncertain"] for run in "ABCD"}
    assert found == {"A": True, "B": False, "C": False, "D": True}


def test_a_proof_that_is_withdrawn_without_a_load_changes_runs_and_cohorts(workspace: Workspace) -> None:
    """As happens to the neighbors of a day whose rows lie outside of its bounds."""
    happened = [enrolled(march(1)), sent(march(3)), replied(march(4))]
    workspace.land_all(happened, *(day_of(day) for day in range(1, 51)))
    workspace.build()
    assert workspace.cohorts("touched")[day_of(3)]["members"] == 1
    workspace.withdraw_proof(day_of(2))
    for _ in range(2):  # the second build has nothing to do
        workspace.build()
        assert workspace.run()["start_uncertain"]
        cohort = workspace.cohorts("touched")[day_of(3)]
        assert (cohort["members"], cohort["start_uncertain"], cohort["reply_rate_num"]) == (0, 1, 0)
    incremental = {name: workspace.rows(name) for name in (*KEPT, *KEPT_BESIDE)}
    workspace.build(full_refresh=True)
    assert {name: workspace.rows(name) for name in incremental} == incremental
