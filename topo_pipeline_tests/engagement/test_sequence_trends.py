"""A change from week to week is one only where chance does not explain it."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, enrolled, march, replied, sent
from topo_pipeline_tests.engagement.oracle_rates import change

MONDAY = date(2026, 3, 2)
LAST_DAY = date(2026, 4, 6)
WINDOW = 7
WEEK = timedelta(weeks=1)


def weeks(*shares: tuple[int, int]) -> Iterator[Activity]:
    """Week after week: so many of so many runs reply a day after their message."""
    for week, (replies, runs) in enumerate(shares):
        for number in range(runs):
            run, at = f"{week} {number}", march(2 + number % 7) + week * WEEK
            yield enrolled(at - timedelta(hours=1), run)
            yield sent(at, run)
            if number < replies:
                yield replied(at + timedelta(days=1), run)


def land(workspace: Workspace, *shares: tuple[int, int], last: date = LAST_DAY, without: date | None = None) -> None:
    days = [MONDAY + timedelta(days=n) for n in range((last - MONDAY).days + 1)]
    happened = [a for a in weeks(*shares) if a.created_at.date() <= last and a.created_at.date() != without]
    workspace.rules = Rules(reply_window_days=WINDOW)
    workspace.land_all(happened, *(day for day in days if day != without))
    workspace.build()


@pytest.mark.parametrize(
    ("before", "now", "signal"),
    [
        ((6, 100), (9, 100), "no_clear_change"),
        ((8, 100), (6, 100), "no_clear_change"),
        ((6, 100), (6, 100), "no_clear_change"),
        ((3, 100), (20, 100), "up"),
        ((20, 100), (3, 100), "down"),
        ((0, 30), (0, 30), "no_clear_change"),
        ((2, 29), (20, 100), None),
        ((20, 100), (2, 29), None),
    ],
)
def test_a_change_is_one_only_where_its_interval_leaves_out_zero(
    workspace: Workspace, before: tuple[int, int], now: tuple[int, int], signal: str | None
) -> None:
    land(workspace, before, now)
    week = workspace.trend()[MONDAY + WEEK]
    assert (week["previous_num"], week["previous_den"]) == before
    assert (week["reply_rate_num"], week["reply_rate_den"]) == now
    assert week["signal"] == signal
    if signal is None:
        assert (week["change"], week["change_low"], week["change_high"]) == (None, None, None)
    else:
        assert week["change"] == pytest.approx(now[0] / now[1] - before[0] / before[1], abs=1e-12)
        assert (week["change_low"], week["change_high"]) == pytest.approx(change(now, before), abs=1e-9)


def test_the_first_week_and_one_after_a_pause_have_nothing_before_them(workspace: Workspace) -> None:
    land(workspace, (5, 40), (0, 0), (20, 40))
    trend = workspace.trend()
    assert list(trend) == [MONDAY, MONDAY + 2 * WEEK]
    for week in trend.values():
        assert (week["previous_num"], week["previous_den"], week["change"], week["signal"]) == (None,) * 4


def test_a_week_is_shown_once_the_windows_of_all_its_days_have_closed(workspace: Workspace) -> None:
    land(workspace, (5, 40), last=MONDAY + timedelta(days=5 + WINDOW))
    assert workspace.trend() == {}
    workspace.land(MONDAY + timedelta(days=6 + WINDOW))
    workspace.build()
    assert list(workspace.trend()) == [MONDAY]


def test_a_week_whose_last_days_were_quiet_waits_for_them_all_the_same(workspace: Workspace) -> None:
    """The one message was on Monday: its window has closed, that of Sunday's runs, had there been any, has not."""
    land(workspace, (0, 1), last=MONDAY + timedelta(days=1 + WINDOW))
    assert workspace.cohorts()[MONDAY]["is_mature"]
    assert workspace.trend() == {}


def test_a_day_missing_from_a_window_is_no_change_of_the_rate(workspace: Workspace) -> None:
    """All reply on the day after; that day of the second week never landed, and with it a seventh of the replies."""
    land(workspace, (70, 70), (70, 70), (70, 70), (70, 70), without=MONDAY + timedelta(days=8))
    trend = list(workspace.trend().values())
    assert [week["is_mature"] for week in trend] == [False, False, True, True]
    assert trend[1]["reply_rate"] < 1
    assert [week["signal"] for week in trend] == [None, None, None, "no_clear_change"]


def test_how_few_are_too_few_is_a_setting(workspace: Workspace) -> None:
    land(workspace, (2, 29), (20, 29))
    assert workspace.trend()[MONDAY + WEEK]["signal"] is None
    workspace.build(rules=Rules(reply_window_days=WINDOW, evidence_small=29))
    assert workspace.trend()[MONDAY + WEEK]["signal"] == "up"
