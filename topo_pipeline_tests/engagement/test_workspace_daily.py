"""All sequences together, by day: counts, and rates over the runs touched on the day."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Row, Workspace, enrolled, march, opened, replied, sent

DAY = timedelta(days=1)
WINDOW = Rules(reply_window_days=7)


def day(number: int) -> date:
    return march(number).date()


def days(first: int, last: int) -> list[date]:
    return [day(number) for number in range(first, last + 1)]


def by_day(workspace: Workspace) -> dict[date, Row]:
    return {row["day"]: row for row in workspace.rows("workspace_daily")}


def share(row: Row, name: str) -> tuple[int, int]:
    return row[f"{name}_num"], row[f"{name}_den"]


def touched(
    sequence: str | None, on: int, runs: int, replies: int = 0, category: str | None = None
) -> Iterator[Activity]:
    """Yield runs of a sequence with a first message on a day of March. Some reply two days later."""
    for number in range(runs):
        about = {"run": f"{sequence} {on} {number}", "sequence": sequence}
        yield enrolled(march(on, 8), **about)
        yield sent(march(on), **about)
        if number < replies:
            yield replied(march(on + 2), **about, category=category)


HAPPENED = [
    *touched("outbound", 2, 3, 1, "INTERESTED"),
    *touched("nurture", 2, 2, 1),
    *touched(None, 2, 1),
    *touched("nurture", 9, 4, 2, "OUT_OF_OFFICE"),
    *(opened(march(2, 9, 0, 5), "outbound 2 0"), opened(march(3), "outbound 2 0")),
    Activity("sequence.completed", march(5), "outbound 2 0"),
    Activity("sequence.stopped", march(6), "nurture 2 0", sequence="nurture"),
    sent(march(3), "old", sequence="nurture"),  # left-censored
    Activity("invitation.sent", march(4), run=None),  # without a run, so in no count
]


@pytest.fixture(scope="module")
def month(shared: Workspace) -> Workspace:
    """Two weeks in which three sequences do something. The last known day is the 14th. Tests must not change it."""
    shared.rules = WINDOW
    shared.land_all(HAPPENED, *days(1, 15), still_open=day(15))
    shared.build()
    return shared


def test_there_is_a_row_for_every_landed_day(month: Workspace) -> None:
    rows = by_day(month)
    assert sorted(rows) == days(1, 15)
    quiet = rows[day(1)]
    assert (quiet["total_sent"], quiet["active_runs"], quiet["members"], quiet["reply_rate_den"]) == (0, 0, 0, 0)
    assert (quiet["maturity"], quiet["reply_rate"], quiet["reply_rate_evidence"]) == (None, None, "none")
    assert share(quiet, "reply_rate_3d") == (0, 0)
    assert [(rows[day(n)]["is_closed"], rows[day(n)]["is_known"]) for n in (14, 15)] == [(True, True), (False, False)]


def test_counts_are_sums_over_all_sequences(month: Workspace) -> None:
    rows = by_day(month)
    assert (rows[day(2)]["total_sent"], rows[day(2)]["unique_sent"], rows[day(2)]["unique_touched"]) == (6, 6, 6)
    assert (rows[day(2)]["total_opens"], rows[day(2)]["unique_opens"], rows[day(2)]["opens_instant"]) == (1, 1, 1)
    assert (rows[day(3)]["total_opens"], rows[day(3)]["unique_opens"], rows[day(3)]["opens_instant"]) == (1, 0, 0)
    # A left-censored run is in totals and in no unique count. An activity without a run is in neither.
    assert (rows[day(3)]["total_sent"], rows[day(3)]["unique_sent"]) == (1, 0)
    assert (rows[day(4)]["total_invitations"], rows[day(4)]["unique_touched"]) == (0, 0)
    replies = ("total_replies", "total_valid_replies", "total_positive_replies", "replies_pending")
    assert [rows[day(4)][name] for name in replies] == [2, 2, 1, 1]
    assert [rows[day(11)][name] for name in (*replies, "replies_out_of_office")] == [2, 0, 0, 0, 2]
    for of, row in rows.items():
        daily = [each for each in month.rows("sequence_daily") if each["day"] == of]
        for name in ("total_sent", "unique_sent", "total_replies", "active_runs", "opens_instant"):
            assert row[name] == sum(each[name] for each in daily), (of, name)


def test_active_runs_have_begun_and_not_ended(month: Workspace) -> None:
    rows = by_day(month)
    assert [rows[day(n)]["active_runs"] for n in (1, 2, 3, 5, 6, 9)] == [0, 6, 7, 6, 5, 9]


def test_rates_are_over_the_runs_touched_on_the_day_in_any_sequence(month: Workspace) -> None:
    row = by_day(month)[day(2)]
    assert (row["members"], row["eligible"], row["maturity"], row["is_mature"]) == (6, 6, 1.0, True)
    assert share(row, "reply_rate") == share(row, "reply_rate_all") == (2, 6)
    assert row["reply_rate"] == pytest.approx(1 / 3)
    assert share(row, "positive_reply_rate") == (1, 6)
    assert (share(row, "positive_share_of_replies"), share(row, "classification_coverage")) == ((1, 1), (1, 2))
    assert share(row, "reply_rate_3d") == share(row, "reply_rate_7d") == (2, 6)
    assert share(row, "positive_reply_rate_3d") == (1, 6)
    assert share(row, "reply_rate_14d") == (0, 0)


def test_a_young_day_has_members_and_early_rates(month: Workspace) -> None:
    row = by_day(month)[day(9)]
    assert (row["members"], row["eligible"], row["maturity"], row["is_mature"]) == (4, 0, 0.0, False)
    assert (row["reply_rate_evidence"], row["days_unknown"]) == ("none", 0)
    assert (share(row, "reply_rate_3d"), share(row, "reply_rate_7d")) == ((0, 4), (0, 0))


# test_daily_grid distinguishes the kinds of unknown days.
@pytest.mark.parametrize(
    "kind", ["missing", *(pytest.param(kind, marks=pytest.mark.full) for kind in ("half_read", "unproved"))]
)
def test_an_unknown_day_makes_the_days_before_it_not_mature(workspace: Workspace, kind: str) -> None:
    """The 10th is unknown: the windows of the 3rd to the 10th contain it."""
    is_there = kind != "missing"
    happened = [a for on in (2, 3, 10, 11) for a in touched("outbound", on, 2, 1) if is_there or on != 10]
    workspace.rules = WINDOW
    workspace.land_all(
        happened,
        *(each for each in days(1, 25) if is_there or each != day(10)),
        open_days=[day(10)] if kind == "half_read" else [],
        unproved_days=[day(10)] if kind == "unproved" else [],
    )
    workspace.build()
    columns = ("members", "eligible", "days_unknown", "is_mature", "is_known")
    found = {of.day: tuple(row[name] for name in columns) for of, row in by_day(workspace).items()}
    assert (day(10) in by_day(workspace)) is is_there
    assert [found[n] for n in (1, 2, 3, 9, 11)] == [
        (0, 0, 0, True, True),
        (2, 2, 0, True, True),
        (2, 0, 1, False, True),
        (0, 0, 1, False, True),
        (2, 2, 0, True, True),
    ]
    if is_there:
        assert found[10] == (2, 0, 1, False, False)
    # The windows of three days have no unknown day in them.
    row = by_day(workspace)[day(3)]
    assert (share(row, "reply_rate"), share(row, "reply_rate_3d"), share(row, "reply_rate_7d")) == (
        (0, 0),
        (1, 2),
        (0, 0),
    )
