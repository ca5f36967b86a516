"""Weeks of touches: their reply rates, young weeks included."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import (
    Activity,
    Cases,
    Row,
    Workspace,
    enrolled,
    march,
    replied,
    sent,
)
from topo_pipeline_tests.engagement.oracle import days

MONDAY = date(2026, 3, 2)
WINDOW = 7
DAY, WEEK = timedelta(days=1), timedelta(weeks=1)


def weeks(*shares: tuple[int, int]) -> Iterator[Activity]:
    """Yield week after week, given the replies and the runs of each. The replies come a day after the message."""
    for week, (replies, runs) in enumerate(shares):
        for number in range(runs):
            run, at = f"{week} {number}", march(2 + number % 7) + week * WEEK
            yield enrolled(at - timedelta(hours=1), run)
            yield sent(at, run)
            if number < replies:
                yield replied(at + DAY, run)


def share(row: Row, name: str = "reply_rate") -> tuple[int, int]:
    return row[f"{name}_num"], row[f"{name}_den"]


cases = Cases()


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    """Three weeks whose windows have closed."""
    shared.rules = Rules(reply_window_days=WINDOW)
    shared.land_all(cases.activities, *days(MONDAY, MONDAY + 3 * WEEK + (WINDOW - 1) * DAY))
    shared.build()
    return shared


@cases.happened(
    *(enrolled(march(2), run) for run in "AB"),
    *(Activity("invitation.sent", march(3), "A"), replied(march(4), "A", channel="LINKEDIN"), sent(march(10), "A")),
    *(sent(march(8), "B"), sent(march(9), "B")),
)
def test_a_run_is_in_the_week_of_its_first_message_or_invitation(case: Workspace) -> None:
    assert {week: share(row) for week, row in case.trend().items()} == {MONDAY: (1, 2)}


YOUNG = MONDAY + 3 * WEEK  # seven days after its Sunday are not over


def test_a_young_week_has_early_rates_before_its_reply_rate(workspace: Workspace) -> None:
    """20 runs are touched each day, and 10 of them reply on the next one. Thursday of the last week is known."""
    happened = [a for a in weeks((70, 140), (0, 0), (70, 140), (70, 140)) if a.created_at.date() <= YOUNG + 3 * DAY]
    workspace.rules = Rules(reply_window_days=WINDOW)
    workspace.land_all(happened, *days(MONDAY, YOUNG + 3 * DAY))
    workspace.build()
    trend = workspace.trend()
    assert list(trend) == [MONDAY, MONDAY + 2 * WEEK, YOUNG]
    found = {
        week: {
            "members": row["members"],
            "eligible": row["eligible"],
            "is_mature": row["is_mature"],
            "reply_rate": share(row),
            **{days: share(row, f"reply_rate_{days}d") for days in (3, 7, 14)},
        }
        for week, row in trend.items()
    }
    expected = [
        (140, 140, True, (70, 140), (70, 140), (70, 140), (70, 140)),
        # Windows of seven days have closed for its Monday to Thursday, and none of 14 days.
        (140, 80, False, (40, 80), (70, 140), (40, 80), (0, 0)),
        # Windows of three days have closed for its Monday.
        (80, 0, False, (0, 0), (10, 20), (0, 0), (0, 0)),
    ]
    assert [tuple(row.values()) for row in found.values()] == expected
    assert {row["days_unknown"] for row in trend.values()} == {0}
    assert trend[YOUNG]["reply_rate"] is None
    assert trend[YOUNG]["reply_rate_3d"] == 0.5


def test_a_week_is_mature_once_the_windows_of_all_its_days_have_closed_even_of_quiet_ones(workspace: Workspace) -> None:
    """One sequence has touches on all days of the week, the other one only on Monday."""
    own = Cases()
    busy, quiet = (workspace.of_case(own.add(*weeks(week))) for week in ((5, 40), (0, 1)))
    workspace.rules = Rules(reply_window_days=WINDOW)
    workspace.land_all(own.activities, *days(MONDAY, MONDAY + (5 + WINDOW) * DAY))
    workspace.build()
    assert quiet.cohorts("touched")[MONDAY]["is_mature"]
    assert [each.trend()[MONDAY]["is_mature"] for each in (busy, quiet)] == [False, False]
    workspace.land(MONDAY + (6 + WINDOW) * DAY)
    workspace.build()
    assert [each.trend()[MONDAY]["is_mature"] for each in (busy, quiet)] == [True, True]


# test_daily_grid distinguishes the kinds of unknown days.
@pytest.mark.parametrize(
    "kind", ["missing", *(pytest.param(kind, marks=pytest.mark.full) for kind in ("half_read", "unproved"))]
)
def test_cohort_days_with_an_unknown_day_in_a_window_are_left_out_of_the_rates(workspace: Workspace, kind: str) -> None:
    """Every run replies on the day after its touch. The Tuesday of the second week is unknown."""
    odd, last = MONDAY + 8 * DAY, MONDAY + 4 * WEEK + (WINDOW - 1) * DAY
    is_there = kind != "missing"
    happened = [a for a in weeks((70, 70), (70, 70), (70, 70), (70, 70)) if is_there or a.created_at.date() != odd]
    workspace.rules = Rules(reply_window_days=WINDOW)
    workspace.land_all(
        happened,
        *(day for day in days(MONDAY, last) if is_there or day != odd),
        open_days=[odd] if kind == "half_read" else [],
        unproved_days=[odd] if kind == "unproved" else [],
    )
    workspace.build()
    trend = list(workspace.trend().values())
    assert [week["is_mature"] for week in trend] == [False, False, True, True]
    assert [week["days_unknown"] for week in trend] == [0, 1, 0, 0]
    assert [week["members"] for week in trend] == [70, 70 if is_there else 60, 70, 70]
    # Windows of the first Tuesday to the second one contain it.
    assert [share(week) for week in trend] == [(10, 10), (50, 50), (70, 70), (70, 70)]
    # Three days from the first Saturday on reach it.
    assert [share(week, "reply_rate_3d") for week in trend] == [(50, 50), (50, 50), (70, 70), (70, 70)]
