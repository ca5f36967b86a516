"""Periods of the summary: counts of the last calendar days, and rates of the last days whose windows have closed."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Row, Workspace, enrolled, march, opened, replied, sent
from topo_pipeline_tests.engagement.oracle import EARLY, PERIODS, RATES

WEEK = Rules(reply_window_days=7)
DAY = timedelta(days=1)
LENGTHS = {"7d": 7, "28d": 28, "90d": 90}


def day(number: int) -> date:
    return march(number).date()


def days(first: int, last: int) -> list[date]:
    return [day(number) for number in range(first, last + 1)]


def a_run_a_day(first: int, last: int) -> list[Activity]:
    """Return runs contacted day after day of March. Those that start on an even day reply the day after."""
    happened = []
    for number in range(first, last + 1):
        happened += [enrolled(march(number, 8), f"{number}"), sent(march(number), f"{number}")]
        if number > first and (number - 1) % 2 == 0:
            happened.append(replied(march(number, 12), f"{number - 1}"))
    return happened


def built(workspace: Workspace, happened: list[Activity], *quiet: date, rules: Rules = WEEK) -> Workspace:
    workspace.rules = rules
    workspace.land_all(happened, *quiet)
    workspace.build()
    return workspace


def a_run_of_each_state(sequence: str) -> list[Activity]:
    """Return runs that are contacted on the first day: active, stopped, completed and paused; and one uncontacted."""
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
    return [replace(activity, sequence=sequence) for activity in (*begun, *later)]


@pytest.fixture(scope="module")
def forty_days(shared: Workspace) -> Workspace:
    """A run a day from 1 March to 9 April, and a sequence with a run of each state. Tests must not change it."""
    return built(shared, [*a_run_a_day(1, 40), *a_run_of_each_state("mixed")])


def share(row: Row, name: str) -> tuple[int, int]:
    return row[f"{name}_num"], row[f"{name}_den"]


@pytest.mark.parametrize(("period", "replies", "rated"), [("7d", 3, 3), ("28d", 14, 14)])
def test_counts_are_of_the_last_days_and_rates_of_the_last_days_whose_windows_have_closed(
    forty_days: Workspace, period: str, replies: int, rated: int
) -> None:
    row, length = forty_days.summary(period=period), LENGTHS[period]
    assert (row["period_start"], row["period_end"]) == (day(41 - length), day(40))
    assert (row["unique_sent"], row["unique_touched"], row["total_sent"], row["runs"]) == (length,) * 4
    assert (row["total_replies"], row["unique_replies"], row["days_unknown"]) == (replies, replies, 0)
    # Day 33 is the last one whose windows of seven days have all closed.
    assert (row["rate_period_start"], row["rate_period_end"]) == (day(34 - length), day(33))
    assert (row["members"], row["eligible"], row["maturity"]) == (length, length, 1.0)
    assert (share(row, "reply_rate"), row["cohort_days_left_out"]) == ((rated, length), 0)
    assert share(row, "message_reply_rate") == share(row, "reply_rate")


def test_lifetime_has_all_landed_days(forty_days: Workspace) -> None:
    row = forty_days.summary()
    assert (row["period_start"], row["period_end"]) == (day(1), day(40))
    assert (row["rate_period_start"], row["rate_period_end"]) == (day(1), day(33))
    assert (row["unique_sent"], row["members"], row["eligible"], row["maturity"]) == (40, 40, 33, 33 / 40)
    assert share(row, "reply_rate") == (16, 33)


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        # The last days whose windows of 3, 7 and 14 days have all closed are 37, 33 and 26.
        ("7d", {3: (3, 7), 7: (3, 7), 14: (4, 7)}),
        ("28d", {3: (14, 28), 7: (14, 28), 14: (13, 26)}),
        ("90d", {3: (18, 37), 7: (16, 33), 14: (13, 26)}),
        ("lifetime", {3: (18, 37), 7: (16, 33), 14: (13, 26)}),
    ],
)
def test_an_early_rate_is_of_the_last_days_whose_own_windows_have_closed(
    forty_days: Workspace, period: str, expected: dict[int, tuple[int, int]]
) -> None:
    row = forty_days.summary(period=period)
    assert {length: share(row, f"reply_rate_{length}d") for length in EARLY} == expected
    for length in EARLY:
        assert share(row, f"positive_reply_rate_{length}d") == (0, expected[length][1])


def test_a_period_has_the_same_days_in_summary_channels_and_daily(forty_days: Workspace) -> None:
    for period in PERIODS:
        row, channel = forty_days.summary(period=period), forty_days.channel(period=period)
        inside = [n for of, n in forty_days.daily().items() if row["period_start"] <= of <= row["period_end"]]
        assert row["total_sent"] == channel["sends"] == sum(n["total_sent"] for n in inside), period
        assert row["unique_replies"] == sum(n["unique_replies"] for n in inside), period


@pytest.mark.parametrize(
    ("zone", "last"),
    [
        ("Australia/Lord_Howe", date(2026, 4, 8)),  # 5 April has 24.5 hours
        *(
            pytest.param(zone, last, marks=pytest.mark.full)
            for zone, last in (
                ("Europe/Paris", date(2026, 4, 1)),  # 29 March has 23 hours
                ("Europe/Paris", date(2026, 10, 28)),  # 25 October has 25 hours
                ("Australia/Lord_Howe", date(2026, 10, 8)),  # 4 October has 23.5 hours
                ("Asia/Kolkata", date(2026, 4, 8)),  # 5.5 hours ahead of UTC, no clock change
            )
        ),
    ],
)
def test_a_period_starts_at_a_local_midnight_when_the_clocks_change(
    workspace: Workspace, zone: str, last: date
) -> None:
    """For each period, a run whose message is a minute before its first midnight, and one whose message is at it."""
    workspace.zone = zone
    happened = []
    for period, length in LENGTHS.items():
        midnight = datetime.combine(last - (length - 1) * DAY, time.min, ZoneInfo(zone)).astimezone(UTC)
        for at, run in ((midnight - timedelta(minutes=1), "before"), (midnight, "inside")):
            about = {"run": f"{period} {run}", "sequence": period}
            happened += [enrolled(at, **about), sent(at, **about, message=run), opened(at + DAY, **about, message=run)]
    workspace.land_all(happened, last)
    workspace.build()
    for period, length in LENGTHS.items():
        row = workspace.summary(period, period)
        assert (row["period_start"], row["period_end"]) == (last - (length - 1) * DAY, last)
        assert (row["total_sent"], row["unique_sent"], row["unique_found"], row["runs"]) == (1, 1, 1, 1)
        assert workspace.channel(period=period, sequence=period)["sends"] == 1
        assert workspace.summary(period)["total_sent"] == workspace.channel(sequence=period)["sends"] == 2


@pytest.mark.parametrize(
    ("zone", "last_day", "ends", "eligible_of_next_day"),
    [
        ("Europe/Paris", date(2026, 3, 30), date(2026, 3, 27), 1),  # the 29th has 23 hours: the 28th lacks one
        ("Europe/Paris", date(2026, 10, 26), date(2026, 10, 24), 1),  # the 25th has 25 hours: one more, not a day
        # No clocks changed.
        pytest.param("Europe/Paris", date(2026, 3, 28), date(2026, 3, 26), 0, marks=pytest.mark.full),
        # The 4th has 23.5 hours.
        pytest.param("Australia/Lord_Howe", date(2026, 10, 5), date(2026, 10, 2), 1, marks=pytest.mark.full),
    ],
)
def test_rates_end_with_a_day_of_which_every_window_has_closed(
    workspace: Workspace, zone: str, last_day: date, ends: date, eligible_of_next_day: int
) -> None:
    """A run half an hour before the end of the last day, and one half an hour into the next. Windows of two days.

    In lifetime, the runs of the next day whose own windows have closed count too.
    """
    workspace.zone = zone
    started = {
        run: datetime.combine(of, at, ZoneInfo(zone)).astimezone(UTC)
        for run, of, at in (("last", ends, time(23, 30)), ("next", ends + DAY, time(0, 30)))
    }
    known = [ends + n * DAY for n in range((last_day - ends).days + 1)]
    happened = [did for run, at in started.items() for did in (enrolled(at, run), sent(at, run))]
    workspace.land_all(happened, *known, last_day + DAY, still_open=last_day + DAY)
    workspace.rules = Rules(reply_window_days=2)
    workspace.build()
    row, lifetime = workspace.summary(period="7d"), workspace.summary()
    assert row["rate_period_end"] == lifetime["rate_period_end"] == ends
    assert (row["members"], row["eligible"], row["unique_sent"]) == (1, 1, 2)
    assert (lifetime["members"], lifetime["eligible"]) == (2, 1 + eligible_of_next_day)


def test_days_before_the_first_landed_one_are_not_unknown(workspace: Workspace) -> None:
    built(workspace, a_run_a_day(10, 20))
    row = workspace.summary(period="28d")
    assert (row["period_start"], row["period_end"], row["unique_sent"]) == (day(-7), day(20), 11)
    assert (row["rate_period_start"], row["rate_period_end"], row["eligible"]) == (day(-14), day(13), 4)
    assert (row["days_unknown"], row["cohort_days_left_out"]) == (0, 0)


# test_daily_grid distinguishes the kinds of unknown days.
@pytest.mark.parametrize(
    "kind", ["unproved", *(pytest.param(kind, marks=pytest.mark.full) for kind in ("missing", "half_read"))]
)
def test_an_unknown_day_costs_the_cohort_days_whose_windows_contain_it(workspace: Workspace, kind: str) -> None:
    """A run a day from the 7th to the 20th. The 18th is unknown."""
    is_there = kind != "missing"
    landed = [number for number in range(7, 21) if is_there or number != 18]
    workspace.rules = WEEK
    workspace.land_all(
        [did(march(number), str(number)) for number in landed for did in (enrolled, sent)],
        open_days=[day(18)] if kind == "half_read" else [],
        unproved_days=[day(18)] if kind == "unproved" else [],
    )
    workspace.build()
    week, lifetime = workspace.summary(period="7d"), workspace.summary()
    # The windows of the 11th to the 18th contain it. The rates are of the 7th to the 13th.
    for row in (week, lifetime):
        assert (row["rate_period_start"], row["rate_period_end"]) == (day(7), day(13))
        assert (row["eligible"], row["cohort_days_left_out"], row["days_unknown"]) == (4, 3, 1)
        assert share(row, "reply_rate") == share(row, "message_reply_rate") == (0, 4)
        assert sum(value for name, value in row.items() if name.startswith("outcome_")) == 4
        assert row["runs_start_uncertain"] == 0
    assert (week["members"], lifetime["members"]) == (7, 13 + is_there)
    assert (week["total_sent"], week["unique_sent"], week["runs"]) == (6 + is_there,) * 3
    # Windows of three days: the rates are of the 11th to the 17th, without the 15th to the 17th.
    assert share(week, "reply_rate_3d") == (0, 4)
    assert share(week, "reply_rate_7d") == (0, 4)
    assert share(lifetime, "reply_rate_3d") == (0, 8)


def test_a_last_day_that_is_unproved_is_in_the_totals_and_in_no_period(workspace: Workspace) -> None:
    workspace.rules = WEEK
    workspace.land_all(a_run_a_day(1, 20), unproved_days=[day(20)])
    workspace.build()
    week, lifetime = workspace.summary(period="7d"), workspace.summary()
    assert (week["period_start"], week["period_end"], week["rate_period_end"]) == (day(13), day(19), day(12))
    assert (week["total_sent"], lifetime["total_sent"]) == (7, 20)
    assert (lifetime["period_end"], lifetime["days_unknown"]) == (day(20), 0)


def test_the_rates_are_the_sums_of_the_cohorts(forty_days: Workspace) -> None:
    cohorts = forty_days.cohorts("touched")
    for period in PERIODS:
        row = forty_days.summary(period=period)
        inside = [of for of in cohorts if row["rate_period_start"] <= of <= row["rate_period_end"]]
        for name in RATES:
            for part in ("num", "den"):
                assert row[f"{name}_{part}"] == sum(cohorts[of][f"{name}_{part}"] for of in inside), (period, name)


def test_each_period_has_its_own_ranks(workspace: Workspace) -> None:
    """All replied to the early sequence once, and nobody does now. Three of ten reply to the late one."""
    happened = []
    for number, sequence, replies in ((1, "early", 10), (20, "early", 0), (20, "late", 3)):
        for run in range(10):
            about = {"run": f"{sequence} {number} {run}", "sequence": sequence}
            happened += [enrolled(march(number, 8), **about), sent(march(number), **about)]
            happened += [replied(march(number, 12), **about)] if run < replies else []
    built(workspace, happened, *days(1, 30), rules=Rules(reply_window_days=7, evidence_small=10))
    ranks = {(s, p): workspace.summary(s, p)["reply_rank"] for s in ("early", "late") for p in ("lifetime", "7d")}
    assert ranks == {("early", "7d"): 2, ("late", "7d"): 1, ("early", "lifetime"): 1, ("late", "lifetime"): 2}


def test_shares_and_means_are_over_the_runs_of_the_period(forty_days: Workspace) -> None:
    row = forty_days.summary("mixed")
    states = ("runs", "runs_active", "runs_paused", "runs_stopped", "runs_left_censored")
    assert [row[name] for name in states] == [5, 3, 1, 1, 1]
    assert [row[f"{name}_share"] for name in ("active", "paused", "stopped")] == [0.6, 0.2, 0.2]
    assert (row["messages_per_contacted_run"], row["replies_per_message"]) == (5 / 4, 3 / 5)
    assert row["touches_to_reply"] == 1.5
    # On the last seven days nothing happened.
    row = forty_days.summary("mixed", "7d")
    assert [row[name] for name in states] == [0] * 5
    over_runs = ("active_share", "paused_share", "stopped_share")
    over_contacts = ("messages_per_contacted_run", "replies_per_message", "touches_to_reply")
    assert [row[name] for name in (*over_runs, *over_contacts)] == [None] * 6
