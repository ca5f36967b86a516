"""A summary of the last days whose cohorts are mature, beside that of a sequence's whole life."""

from datetime import UTC, date, datetime, timedelta

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, enrolled, march, replied, sent
from topo_pipeline_tests.engagement.oracle import OVER_ELIGIBLE, OVER_OUTCOMES, PERIODS

WEEK = Rules(reply_window_days=7)


def a_run_a_day(workspace: Workspace, first: int, last: int) -> None:
    """Runs contacted day after day of March; whoever starts on an even day replies the day after."""
    happened = []
    for day in range(first, last + 1):
        happened += [enrolled(march(day, 8), f"{day}"), sent(march(day), f"{day}")]
        if day > first and (day - 1) % 2 == 0:
            happened.append(replied(march(day, 12), f"{day - 1}"))
    workspace.land_all(happened)
    workspace.rules = WEEK
    workspace.build()


@pytest.fixture(scope="module")
def forty_days(shared: Workspace) -> Workspace:
    """A run a day from March 1st on: to look at, never to change."""
    a_run_a_day(shared, 1, 40)
    return shared


def test_a_period_is_the_last_days_whose_windows_have_all_closed(forty_days: Workspace) -> None:
    for period, days in (("7d", 7), ("28d", 28)):
        row = forty_days.summary(period=period)
        assert (row["period_start"], row["period_end"]) == (march(34 - days).date(), march(33).date())
        assert (row["unique_sent"], row["total_sent"], row["runs"]) == (days, days, days)
        assert (row["eligible"], row["maturity"], row["days_missing"]) == (days, 1.0, 0)
    lifetime = forty_days.summary()
    assert (lifetime["period_start"], lifetime["period_end"]) == (march(1).date(), march(40).date())
    assert (lifetime["unique_sent"], lifetime["eligible"]) == (40, 33)
    assert (forty_days.summary(period="7d")["reply_rate_num"], lifetime["reply_rate_num"]) == (3, 16)


def test_the_totals_of_a_period_are_those_of_its_days(forty_days: Workspace) -> None:
    """Replies to the period's messages count in its rate; on the days after it they are no event of its days."""
    row = forty_days.summary(period="7d")
    replies = sum(forty_days.daily()[march(day).date()]["total_replies"] for day in range(27, 34))
    assert (row["total_replies"], row["unique_replies"]) == (replies, replies) == (4, 4)


def test_a_period_that_begins_before_history_does_says_how_many_days_it_lacks(workspace: Workspace) -> None:
    a_run_a_day(workspace, 10, 20)
    row = workspace.summary(period="28d")
    assert (row["period_end"], row["unique_sent"], row["days_missing"]) == (march(13).date(), 4, 24)


def test_a_day_missing_from_a_periods_windows_is_told(workspace: Workspace) -> None:
    days = [day for day in range(7, 21) if day != 18]
    workspace.land_all(did(march(day), str(day)) for day in days for did in (enrolled, sent))
    workspace.rules = WEEK
    workspace.build()
    row = workspace.summary(period="7d")
    assert (row["period_end"], row["eligible"], row["days_missing"]) == (march(13).date(), 7, 1)
    assert workspace.summary()["days_missing"] == 1


@pytest.mark.parametrize(
    ("last_day", "ends", "because"),
    [
        (date(2026, 3, 28), date(2026, 3, 26), "no clocks changed"),
        (date(2026, 3, 30), date(2026, 3, 27), "the 29th had 23 hours: the last runs of the 28th are an hour short"),
        (
            date(2026, 10, 26),
            date(2026, 10, 24),
            "the 25th had 25 hours: enough for the 24th and not for itself",
        ),
    ],
)
def test_a_period_ends_with_a_day_of_which_every_run_is_known(
    workspace: Workspace, last_day: date, ends: date, because: str
) -> None:
    workspace.zone = "Europe/Paris"
    started = datetime.combine(ends, datetime.min.time(), UTC) + timedelta(hours=21, minutes=30)
    still_open = last_day + timedelta(days=1)
    days = [ends + timedelta(days=n) for n in range((still_open - ends).days + 1)]
    workspace.land_all([enrolled(started), sent(started)], *days, still_open=still_open)
    workspace.rules = Rules(reply_window_days=2)
    workspace.build()
    row = workspace.summary(period="7d")
    assert row["period_end"] == ends, because
    assert (row["eligible"], row["unique_sent"]) == (1, 1)


def test_without_a_closed_day_there_is_no_period_but_a_life(workspace: Workspace) -> None:
    workspace.land(march(1).date(), [enrolled(march(1)), sent(march(1))], is_open=True)
    workspace.build()
    assert {row["period"] for row in workspace.rows("sequence_summary")} == set(PERIODS)
    row = workspace.summary(period="28d")
    assert (row["period_start"], row["period_end"], row["days_missing"], row["total_sent"]) == (None, None, None, 0)
    assert workspace.summary()["total_sent"] == 1


def test_the_rates_are_the_cohorts_summed(forty_days: Workspace) -> None:
    for period in PERIODS:
        row = forty_days.summary(period=period)
        days = [day for day in forty_days.cohorts() if row["period_start"] <= day <= row["period_end"]]
        for name in (*OVER_ELIGIBLE, *OVER_OUTCOMES):
            for part in ("num", "den"):
                summed = sum(forty_days.cohorts()[day][f"{name}_{part}"] for day in days)
                assert row[f"{name}_{part}"] == summed, (period, name)


def test_each_period_has_its_own_ranks(workspace: Workspace) -> None:
    """All replied to the early sequence once, and nobody does now; three of ten reply to the late one."""
    happened = []
    for day, sequence, replies in ((1, "early", 10), (20, "early", 0), (20, "late", 3)):
        for number in range(10):
            about = {"run": f"{sequence} {day} {number}", "sequence": sequence}
            happened += [enrolled(march(day, 8), **about), sent(march(day), **about)]
            happened += [replied(march(day, 12), **about)] if number < replies else []
    workspace.land_all(happened, march(30).date())
    workspace.rules = WEEK
    workspace.build()
    ranks = {(s, p): workspace.summary(s, p)["reply_rank"] for s in ("early", "late") for p in ("lifetime", "7d")}
    assert ranks == {("early", "7d"): 2, ("late", "7d"): 1, ("early", "lifetime"): 1, ("late", "lifetime"): 2}


def test_shares_and_means_over_the_runs_of_the_period(workspace: Workspace) -> None:
    begun = [a for run in "ABCD" for a in (enrolled(march(1, 8), run), sent(march(1), run))]
    later = [
        sent(march(2), "A"),
        replied(march(3), "A"),
        replied(march(4), "A", category="OUT_OF_OFFICE"),
        replied(march(2), "B"),
        Activity("sequence.stopped", march(5), "B"),
        Activity("sequence.completed", march(5), "C"),
        Activity("sequence.paused", march(5), "D"),
        Activity("invitation.sent", march(1, 8, 30), "E", channel="LINKEDIN"),
    ]
    workspace.land_all([*begun, *later])
    workspace.build()
    row = workspace.summary()
    states = ("runs", "runs_active", "runs_paused", "runs_stopped")
    assert [row[name] for name in states] == [5, 3, 1, 1]
    assert [row[f"{name}_share"] for name in ("active", "paused", "stopped")] == [0.6, 0.2, 0.2]
    assert (row["messages_per_contacted_run"], row["replies_per_message"]) == (5 / 4, 3 / 5)
    assert row["touches_to_reply"] == 1.5


def test_shares_and_means_over_nothing_are_null(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1))])
    workspace.build()
    over_contacts = ("messages_per_contacted_run", "replies_per_message", "touches_to_reply")
    assert [workspace.summary()[name] for name in over_contacts] == [None] * 3
    row = workspace.summary(period="7d")
    assert [row[f"{name}_share"] for name in ("active", "paused", "stopped")] == [None] * 3
