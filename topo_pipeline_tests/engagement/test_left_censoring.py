"""A run that may have begun before the first landed day counts in totals, and in no unique and no rate."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline_tests.engagement.helpers import (
    DAILY,
    KEPT,
    Activity,
    Cases,
    Workspace,
    enrolled,
    march,
    opened,
    sent,
)

DAY_1 = date(2026, 3, 1)
LONG_AFTER = date(2026, 5, 30)
WITNESS = enrolled(march(1, 8), "witness")  # shows that this workspace tells of enrolments


cases = Cases()


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    """What history there is begins on March 1st."""
    shared.land_all(cases.activities, LONG_AFTER)
    shared.build()
    return shared


@cases.happened(WITNESS, sent(march(1), "witness"), sent(march(2)), opened(march(2, 10)))
def test_such_a_run_is_in_totals_and_flagged_and_in_no_unique_or_rate(case: Workspace) -> None:
    day, summary = case.daily()[date(2026, 3, 2)], case.summary()
    assert case.run()["left_censored"]
    assert not case.run("witness")["left_censored"]
    assert (day["total_sent"], day["total_opens"], day["unique_sent"], day["unique_opens"]) == (1, 1, 0, 0)
    assert (summary["runs"], summary["runs_left_censored"], summary["eligible"]) == (2, 1, 1)
    assert (summary["unique_sent"], summary["total_sent"]) == (1, 2)


BEGINS = {"first instant": march(1, 0), "last": march(30, 23, 59, 59), "too late": march(31, 0), "later": march(40)}


@cases.happened(*(sent(moment, run) for run, moment in BEGINS.items()))
def test_the_rule_looks_thirty_days_back(case: Workspace) -> None:
    censored = {run: case.run(run)["left_censored"] for run in BEGINS}
    assert censored == {"first instant": True, "last": True, "too late": False, "later": False}


@cases.happened(opened(march(2)), sent(march(60)))
def test_a_censored_run_with_an_early_and_a_late_part_is_judged_by_its_first_activity(case: Workspace) -> None:
    assert case.run()["left_censored"]
    assert case.daily()[date(2026, 4, 29)]["unique_sent"] == 0


def test_its_thirty_days_are_days_of_the_reporting_zone(workspace: Workspace) -> None:
    workspace.zone = "America/New_York"
    midnight = march(31, 4)  # New York is four hours behind by then
    begins = {"before": midnight - timedelta(seconds=1), "after": midnight}
    workspace.land_all([enrolled(march(1, 12), "witness"), *(sent(moment, run) for run, moment in begins.items())])
    workspace.build()
    assert {run: workspace.run(run)["left_censored"] for run in begins} == {"before": True, "after": False}


def test_zero_days_turn_the_rule_off(workspace: Workspace) -> None:
    workspace.land_all([WITNESS, sent(march(1))])
    workspace.build(rules=replace(DEFAULT_RULES, censored_days=0))
    assert not workspace.run()["left_censored"]
    assert workspace.daily()[DAY_1]["unique_sent"] == 1


def test_nothing_is_censored_where_no_enrolment_was_ever_seen(workspace: Workspace) -> None:
    workspace.land_all([sent(march(1)), sent(march(2), "B")])
    workspace.build()
    assert not any(run["left_censored"] for run in workspace.rows("sequence_runs"))
    assert workspace.summary()["unique_sent"] == 2


def test_the_first_enrolment_seen_changes_runs_that_its_load_did_not_touch(workspace: Workspace) -> None:
    workspace.land_all([sent(march(1))])
    workspace.build(*KEPT)
    workspace.land(date(2026, 3, 9), [enrolled(march(9), "B")])
    workspace.build()
    assert workspace.run()["left_censored"]
    assert workspace.daily()[DAY_1]["unique_sent"] == 0


def test_the_last_enrolment_removed_changes_them_back(workspace: Workspace) -> None:
    workspace.land_all([sent(march(1)), enrolled(march(9), "B")])
    workspace.build(*KEPT)
    workspace.land(date(2026, 3, 9), [])
    workspace.build()
    assert not workspace.run()["left_censored"]
    assert workspace.daily()[DAY_1]["unique_sent"] == 1


def test_an_enrolment_found_late_whitewashes_its_run(workspace: Workspace) -> None:
    workspace.land_all([WITNESS, sent(march(3))])
    workspace.build(*KEPT)
    workspace.land(date(2026, 3, 2), [enrolled(march(2))])
    workspace.build()
    assert not workspace.run()["left_censored"]
    assert workspace.daily()[date(2026, 3, 3)]["unique_sent"] == 1


def test_a_january_backfilled_after_february_moves_the_rule_back(workspace: Workspace) -> None:
    march_run = sent(march(5))
    workspace.land_all([WITNESS, march_run])
    workspace.build(*DAILY)
    assert workspace.run()["left_censored"]
    january = [Activity("message.opened", march(-40), "January")]
    workspace.land_all(january)
    workspace.build()
    assert not workspace.run()["left_censored"]
    assert workspace.run("January")["left_censored"]
    assert workspace.daily()[date(2026, 3, 5)]["unique_sent"] == 1


def test_a_landed_day_without_activities_is_history_too(workspace: Workspace) -> None:
    workspace.land_all([WITNESS, sent(march(5))], date(2026, 1, 1))
    workspace.build()
    assert not workspace.run()["left_censored"]
