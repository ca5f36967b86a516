"""A left-censored run may have begun before the first landed day. It is in totals, but in no unique and no rate."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline_tests.engagement.helpers import (
    DAILY,
    Cases,
    Workspace,
    by_day,
    enrolled,
    march,
    opened,
    sent,
)

DAY_1, DAY_2 = date(2026, 3, 1), date(2026, 3, 2)
WITNESS = enrolled(march(1, 8), "witness")  # the rule needs an enrolment in the workspace
# Every day is known, and the outcome windows of the first days close.
DAYS = [march(day).date() for day in range(1, 62)]


cases = Cases()


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    shared.land_all(cases.activities, *DAYS)
    shared.build()
    return shared


@pytest.fixture(scope="module")
def later(together: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The second day is read again. Nothing else has changed."""
    before, after = by_day(cases.activities), by_day(cases.later)
    assert [day for day in before.keys() | after.keys() if before.get(day) != after.get(day)] == [DAY_2]
    workspace = together.copied(tmp_path_factory.mktemp("later"))
    workspace.land(DAY_2, after[DAY_2])
    workspace.build(*DAILY)
    return workspace


@cases.happened(WITNESS, sent(march(1), "witness"), sent(march(2)), opened(march(2, 10)))
def test_a_left_censored_run_is_in_totals_but_in_no_unique_or_rate(case: Workspace) -> None:
    day, summary = case.daily()[date(2026, 3, 2)], case.summary()
    assert case.run()["left_censored"]
    assert not case.run("witness")["left_censored"]
    assert (day["total_sent"], day["total_opens"]) == (1, 1)
    assert {day[f"unique_{kind}"] for kind in ("sent", "touched", "opens")} == {0}
    assert (summary["runs"], summary["runs_left_censored"], summary["eligible"]) == (2, 1, 1)
    assert (summary["unique_sent"], summary["unique_touched"], summary["total_sent"]) == (1, 1, 2)
    assert set(case.cohorts("touched")) == {DAY_1}


BEGINS = {"first instant": march(1, 0), "last one": march(30, 23, 59, 59), "too late": march(31, 0), "later": march(40)}


@cases.happened(*(sent(moment, run) for run, moment in BEGINS.items()))
def test_the_rule_covers_the_first_thirty_days(case: Workspace) -> None:
    censored = {run: case.run(run)["left_censored"] for run in BEGINS}
    assert censored == {"first instant": True, "last one": True, "too late": False, "later": False}


@cases.happened(opened(march(2)), sent(march(60)))
def test_the_first_activity_of_a_run_decides(case: Workspace) -> None:
    assert case.run()["left_censored"]
    assert case.daily()[date(2026, 4, 29)]["unique_sent"] == 0


def test_the_thirty_days_are_days_of_the_reporting_zone(workspace: Workspace) -> None:
    workspace.zone = "America/New_York"
    midnight = march(31, 4)  # New York is four hours behind UTC on that day
    begins = {"before": midnight - timedelta(seconds=1), "after": midnight}
    workspace.land_all([enrolled(march(1, 12), "witness"), *(sent(moment, run) for run, moment in begins.items())])
    workspace.build()
    assert {run: workspace.run(run)["left_censored"] for run in begins} == {"before": True, "after": False}


def test_the_rule_needs_an_enrolment_in_the_workspace_and_can_be_turned_off(workspace: Workspace) -> None:
    """The enrolment comes and goes with a load that does not touch the other runs."""

    def censored() -> tuple[int, int]:
        is_censored = [workspace.run(run)["left_censored"] for run in "AB"]
        return sum(is_censored), workspace.summary()["unique_sent"]

    workspace.land_all([sent(march(1)), sent(march(2), "B")])
    workspace.build()
    assert censored() == (0, 2)
    workspace.land(date(2026, 3, 9), [enrolled(march(9), "C")])
    workspace.build()
    assert censored() == (2, 0)
    assert workspace.daily()[DAY_1]["unique_sent"] == 0
    workspace.land(date(2026, 3, 9), [])
    workspace.build()
    assert censored() == (0, 2)
    assert workspace.daily()[DAY_1]["unique_sent"] == 1
    workspace.land(date(2026, 3, 9), [enrolled(march(9), "C")])
    workspace.build(rules=replace(DEFAULT_RULES, censored_days=0))
    assert censored() == (0, 2)


@cases.happened(sent(march(3)), later=[enrolled(march(2)), sent(march(3))])
def test_a_late_enrolment_ends_the_left_censoring_of_its_run(case: Workspace, case_later: Workspace) -> None:
    assert [each.run()["left_censored"] for each in (case, case_later)] == [True, False]
    assert [each.daily()[date(2026, 3, 3)]["unique_sent"] for each in (case, case_later)] == [0, 1]


def test_backfilling_earlier_days_moves_the_rule_to_them_even_if_they_are_quiet(workspace: Workspace) -> None:
    workspace.land_all([WITNESS, sent(march(5))])
    workspace.build(*DAILY)
    assert workspace.run()["left_censored"]
    workspace.land_all([], march(-50).date())
    workspace.build(*DAILY)
    assert not workspace.run()["left_censored"]
    assert workspace.daily()[date(2026, 3, 5)]["unique_sent"] == 1
    workspace.land_all([opened(march(-40), "January")])
    workspace.build(*DAILY)
    assert [workspace.run(run)["left_censored"] for run in ("A", "January")] == [False, True]


@cases.happened(
    *(enrolled(march(2), sequence="nurture"), sent(march(3)), enrolled(march(5)), opened(march(4), sequence=None)),
    *(sent(march(3), "B"), opened(march(4), "B", sequence="nurture")),
    *(enrolled(march(2), "C", sequence=None), sent(march(3), "C"), opened(march(4), "C")),
)
def test_an_enrolment_in_any_sequence_counts_for_every_row_of_its_run(case: Workspace) -> None:
    rows = [(run, sequence, case.run(run, sequence)) for run, sequence in NAMED]
    columns = ("enrolled_at", "run_enrolled_at", "left_censored")
    assert {(run, sequence): tuple(row[name] for name in columns) for run, sequence, row in rows} == {
        ("A", "nurture"): (march(2), march(2), False),
        ("A", "outbound"): (march(5), march(2), False),
        ("A", None): (None, march(2), False),
        ("B", "nurture"): (None, None, True),
        ("B", "outbound"): (None, None, True),
        ("C", "outbound"): (march(2), march(2), False),
    }


NAMED = [("A", "nurture"), ("A", "outbound"), ("A", None), ("B", "nurture"), ("B", "outbound"), ("C", "outbound")]


@cases.happened(sent(march(3)), later=[enrolled(march(2), sequence="nurture"), sent(march(3))])
def test_a_late_enrolment_in_another_sequence_counts_too(case: Workspace, case_later: Workspace) -> None:
    assert case.run()["left_censored"]
    row = case_later.run()
    assert (row["left_censored"], row["enrolled_at"], row["run_enrolled_at"]) == (False, None, march(2))
    assert case_later.daily()[date(2026, 3, 3)]["unique_touched"] == 1
