"""All sequences together, by week: counts, and rates over the runs touched in the week."""

from datetime import date, timedelta

import pytest

from topo_pipeline_tests.engagement.helpers import Row, Workspace, march, opened, sent
from topo_pipeline_tests.engagement.test_workspace_daily import WINDOW, day, days, share, touched

MONDAY = date(2026, 3, 2)
WEEK = timedelta(weeks=1)


def by_week(workspace: Workspace) -> dict[date, Row]:
    return {row["week_start"]: row for row in workspace.rows("workspace_weekly")}


HAPPENED = [
    *touched("outbound", 2, 3, 1, "INTERESTED"),
    *touched("nurture", 8, 2, 1),
    *touched("nurture", 9, 4, 2, "OUT_OF_OFFICE"),
    *touched("outbound", 17, 5, 3),
    opened(march(2, 9, 0, 5), "outbound 2 0"),
    sent(march(3), "old", sequence="nurture"),  # left-censored
]


@pytest.fixture(scope="module")
def month(shared: Workspace) -> Workspace:
    """1 to 20 March: a Sunday, two weeks, and Monday to Friday. Tests must not change it."""
    shared.rules = WINDOW
    shared.land_all(HAPPENED, *days(1, 20))
    shared.build()
    return shared


def test_there_is_a_row_for_every_week_with_a_landed_day(month: Workspace) -> None:
    rows = by_week(month)
    assert {monday: row["days_landed"] for monday, row in rows.items()} == {
        MONDAY - WEEK: 1,
        MONDAY: 7,
        MONDAY + WEEK: 7,
        MONDAY + 2 * WEEK: 5,
    }
    # Days before the first landed one and after the last one are not unknown.
    assert {row["days_unknown"] for row in rows.values()} == {0}
    quiet = rows[MONDAY - WEEK]
    assert (quiet["total_sent"], quiet["reply_rate"], quiet["reply_rate_evidence"]) == (0, None, "none")
    assert share(quiet, "reply_rate") == share(quiet, "reply_rate_3d") == (0, 0)


def test_counts_are_sums_over_all_days_and_sequences(month: Workspace) -> None:
    row = by_week(month)[MONDAY]
    assert (row["total_sent"], row["unique_sent"], row["unique_touched"], row["opens_instant"]) == (6, 5, 5, 1)
    assert (row["total_replies"], row["total_positive_replies"], row["replies_pending"]) == (1, 1, 0)
    row = by_week(month)[MONDAY + WEEK]
    assert (row["total_replies"], row["replies_pending"], row["replies_out_of_office"]) == (3, 1, 2)
    for monday, row in by_week(month).items():
        inside = [each for each in month.rows("workspace_daily") if monday <= each["day"] < monday + WEEK]
        for name in ("total_sent", "unique_sent", "unique_replies", "total_opens"):
            assert row[name] == sum(each[name] for each in inside), (monday, name)


def test_rates_are_over_the_runs_touched_in_the_week_in_any_sequence(month: Workspace) -> None:
    columns = ("members", "eligible", "windows_closed", "is_mature")
    found = {monday: tuple(row[name] for name in columns) for monday, row in by_week(month).items()}
    assert found == {
        # Nothing was touched on its only landed day, whose window has closed.
        MONDAY - WEEK: (0, 0, True, True),
        MONDAY: (5, 5, True, True),
        # The windows of its Saturday and Sunday are open.
        MONDAY + WEEK: (4, 4, False, False),
        MONDAY + 2 * WEEK: (5, 0, False, False),
    }
    row = by_week(month)[MONDAY]
    assert (share(row, "reply_rate"), share(row, "positive_reply_rate")) == ((2, 5), (1, 5))
    assert (row["reply_rate"], row["reply_rate_evidence"]) == (0.4, "too_small")
    row = by_week(month)[MONDAY + WEEK]
    assert (share(row, "reply_rate"), share(row, "reply_rate_all")) == ((0, 4), (2, 4))
    row = by_week(month)[MONDAY + 2 * WEEK]
    assert (share(row, "reply_rate"), share(row, "reply_rate_3d"), share(row, "reply_rate_7d")) == (
        (0, 0),
        (3, 5),
        (0, 0),
    )


# test_daily_grid distinguishes the kinds of unknown days.
@pytest.mark.parametrize(
    "kind", ["unproved", *(pytest.param(kind, marks=pytest.mark.full) for kind in ("missing", "half_read"))]
)
def test_an_unknown_day_leaves_out_the_cohort_days_whose_windows_contain_it(workspace: Workspace, kind: str) -> None:
    """Tuesday the 10th is unknown. Two runs are touched each day, and one of them replies two days later."""
    is_there = kind != "missing"
    happened = [a for on in range(2, 23) for a in touched("outbound", on, 2, 1)]
    workspace.rules = WINDOW
    workspace.land_all(
        [a for a in happened if is_there or a.created_at.date() != day(10)],
        *(each for each in days(2, 31) if is_there or each != day(10)),
        open_days=[day(10)] if kind == "half_read" else [],
        unproved_days=[day(10)] if kind == "unproved" else [],
    )
    workspace.build()
    columns = ("days_landed", "days_unknown", "members", "eligible", "windows_closed", "is_mature", "reply_rate_num")
    found = [tuple(row[name] for name in columns) for _, row in sorted(by_week(workspace).items())]
    assert found[:3] == [
        (7, 0, 14, 2, True, False, 1),
        (6 + is_there, 1, 12 + 2 * is_there, 10, True, False, 5),
        (7, 0, 14, 14, True, True, 7),
    ]
    # Three days from the 7th on reach the 10th.
    early = [share(row, "reply_rate_3d") for _, row in sorted(by_week(workspace).items())]
    assert early[:3] == [(5, 10), (5, 10), (7, 14)]
