"""A change from week to week is one only where chance does not explain it."""

import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Cases, Workspace, enrolled, march, replied, sent
from topo_pipeline_tests.engagement.oracle import change

MONDAY = date(2026, 3, 2)
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


cases = Cases()


def days(last: date) -> list[date]:
    return [MONDAY + timedelta(days=n) for n in range((last - MONDAY).days + 1)]


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    shared.rules = Rules(reply_window_days=WINDOW)
    shared.land_all(cases.activities, *days(MONDAY + 3 * WEEK + timedelta(days=WINDOW - 1)))
    shared.build()
    return shared


CHANGES = [
    ((6, 100), (9, 100), "no_clear_change"),
    ((8, 100), (6, 100), "no_clear_change"),
    ((6, 100), (6, 100), "no_clear_change"),
    ((3, 100), (20, 100), "up"),
    ((20, 100), (3, 100), "down"),
    ((0, 30), (0, 30), "no_clear_change"),
    ((2, 29), (20, 100), None),
    ((20, 100), (2, 29), None),
]


@pytest.mark.parametrize(
    ("case", "before", "now", "signal"),
    [(cases.add(*weeks(before, now)), before, now, signal) for before, now, signal in CHANGES],
    indirect=["case"],
    ids=[f"{before[0]} of {before[1]}, {now[0]} of {now[1]}" for before, now, _ in CHANGES],
)
def test_a_change_is_one_only_where_its_interval_leaves_out_zero(
    case: Workspace, before: tuple[int, int], now: tuple[int, int], signal: str | None
) -> None:
    week = case.trend()[MONDAY + WEEK]
    assert (week["previous_num"], week["previous_den"]) == before
    assert (week["reply_rate_num"], week["reply_rate_den"]) == now
    assert week["signal"] == signal
    if signal is None:
        assert (week["change"], week["change_low"], week["change_high"]) == (None, None, None)
    else:
        assert week["change"] == pytest.approx(now[0] / now[1] - before[0] / before[1], abs=1e-12)
        assert (week["change_low"], week["change_high"]) == pytest.approx(change(now, before), abs=1e-9)


@cases.happened(*weeks((5, 40), (0, 0), (20, 40)))
def test_the_first_week_and_one_after_a_pause_have_nothing_before_them(case: Workspace) -> None:
    assert list(case.trend()) == [MONDAY, MONDAY + 2 * WEEK]
    for week in case.trend().values():
        assert (week["previous_num"], week["previous_den"], week["change"], week["signal"]) == (None,) * 4


@cases.happened(*weeks((2, 29), (20, 29)))
def test_how_few_are_too_few_is_a_setting(case: Workspace, tmp_path: Path) -> None:
    assert case.trend()[MONDAY + WEEK]["signal"] is None
    copy = Workspace(str(shutil.copy(case.target, tmp_path)), case=case.case)
    copy.build(rules=Rules(reply_window_days=WINDOW, evidence_small=29))
    assert copy.trend()[MONDAY + WEEK]["signal"] == "up"


def test_a_week_is_shown_once_the_windows_of_all_its_days_have_closed_even_if_they_were_quiet(
    workspace: Workspace,
) -> None:
    """Runs of all its days, and one message on Monday: its window closes days before that of Sunday's runs would."""
    own = Cases()
    busy, quiet = (workspace.of_case(own.add(*weeks(week))) for week in ((5, 40), (0, 1)))
    workspace.rules = Rules(reply_window_days=WINDOW)
    workspace.land_all(own.activities, *days(MONDAY + timedelta(days=5 + WINDOW)))
    workspace.build()
    assert quiet.cohorts()[MONDAY]["is_mature"]
    assert (busy.trend(), quiet.trend()) == ({}, {})
    workspace.land(MONDAY + timedelta(days=6 + WINDOW))
    workspace.build()
    assert (list(busy.trend()), list(quiet.trend())) == ([MONDAY], [MONDAY])


def test_a_day_missing_from_a_window_is_no_change_of_the_rate(workspace: Workspace) -> None:
    """All reply on the day after; that day of the second week never landed, and with it a seventh of the replies."""
    missing, last = MONDAY + timedelta(days=8), MONDAY + 4 * WEEK + timedelta(days=WINDOW - 1)
    happened = [a for a in weeks((70, 70), (70, 70), (70, 70), (70, 70)) if a.created_at.date() != missing]
    workspace.rules = Rules(reply_window_days=WINDOW)
    workspace.land_all(happened, *(day for day in days(last) if day != missing))
    workspace.build()
    trend = list(workspace.trend().values())
    assert [week["is_mature"] for week in trend] == [False, False, True, True]
    assert trend[1]["reply_rate"] < 1
    assert [week["signal"] for week in trend] == [None, None, None, "no_clear_change"]
