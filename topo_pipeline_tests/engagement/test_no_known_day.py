"""Without a known day nothing is eligible. The only landed day was read before it was over."""

from datetime import date

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Workspace, enrolled, march, sent
from topo_pipeline_tests.engagement.oracle import EARLY, PERIODS

DAY = date(2026, 3, 1)  # a Sunday
# Windows that are over at once would have closed, if the day were known.
RULES = Rules(reply_window_days=0, open_window_days=0, message_reply_window_days=0)


@pytest.fixture(scope="module")
def open_day(shared: Workspace) -> Workspace:
    """A run that was contacted on an open day. Tests must not change it."""
    shared.rules = RULES
    shared.land(DAY, [enrolled(march(1, 8)), sent(march(1))], is_open=True)
    shared.build()
    return shared


@pytest.mark.parametrize("axis", ["touched", "sent", "enrolled"])
def test_a_cohort_is_not_mature_and_no_day_is_unknown(open_day: Workspace, axis: str) -> None:
    row = open_day.cohorts(axis)[DAY]
    assert (row["members"], row["days_unknown"], row["eligible"], row["is_mature"]) == (1, 0, 0, False)
    assert [row[f"eligible_{days}d"] for days in EARLY] == [0, 0, 0]


def test_only_lifetime_has_a_period_and_rates_have_none(open_day: Workspace) -> None:
    assert {row["period"] for row in open_day.rows("sequence_summary")} == set(PERIODS)
    row = open_day.summary(period="28d")
    assert (row["period_start"], row["period_end"], row["rate_period_start"], row["rate_period_end"]) == (None,) * 4
    assert (row["days_unknown"], row["total_sent"], row["runs"], row["members"]) == (0, 0, 0, 0)
    row = open_day.summary()
    assert (row["total_sent"], row["runs"], row["as_of"], row["members"], row["eligible"]) == (1, 1, None, 1, 0)
    assert (row["rate_period_end"], row["cohort_days_left_out"]) == (None, 0)


def test_no_rate_of_a_channel_has_messages(open_day: Workspace) -> None:
    row = open_day.channel()
    assert (row["as_of"], row["sends"], row["eligible_for_open"], row["eligible_for_reply"]) == (None, 1, 0, 0)
    assert open_day.channel(period="7d")["sends"] == 0


def test_an_hour_of_sending_has_messages_and_no_rate(open_day: Workspace) -> None:
    [row] = open_day.rows("sequence_timing")
    assert (row["weekday"], row["hour"], row["sends"]) == (7, 9, 1)
    assert (row["reply_rate_num"], row["reply_rate_den"], row["reply_rate_evidence"]) == (0, 0, "none")


def test_the_day_and_the_week_of_the_workspace_are_not_mature(open_day: Workspace) -> None:
    [row] = open_day.rows("workspace_daily")
    assert (row["total_sent"], row["members"], row["eligible"], row["is_mature"]) == (1, 1, 0, False)
    [row] = open_day.rows("workspace_weekly")
    assert (row["days_landed"], row["members"], row["eligible"], row["is_mature"]) == (1, 1, 0, False)
