"""`sequence_volumes`: the messages of a week, compared with the weeks before."""

from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from topo_pipeline_tests.engagement.helpers import Activity, Cases, Row, Workspace, march, sent, uid
from topo_pipeline_tests.engagement.oracle import days

MONDAY = date(2026, 3, 2)
WEEK, DAY = timedelta(weeks=1), timedelta(days=1)
LAST = MONDAY + 8 * WEEK
EVERY_DAY = [*days(MONDAY, LAST + 6 * DAY)]
JUDGED = ("sent_usual", "phi", "threshold", "volume_signal")

cases = Cases()


def weeks(*counts: Sequence[int] | int, first: date = MONDAY, sequence: str = "outbound") -> Iterator[Activity]:
    """Yield the messages of a week by weekday, from Monday on. A single number is that of each Monday to Friday."""
    for number, of_week in enumerate(counts):
        for weekday, count in enumerate((of_week,) * 5 if isinstance(of_week, int) else of_week):
            start = march(2, 9) + (first - MONDAY) + number * WEEK + weekday * DAY
            for n in range(count):
                yield sent(start + timedelta(minutes=n), sequence, sequence=sequence)


def only(count: int) -> tuple[int]:
    """Return a week with messages on its Monday alone."""
    return (count,)


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    shared.land_all(cases.activities, *EVERY_DAY)
    shared.name("ARCHIVED", **{f"{ARCHIVED} outbound": "Old"})
    shared.build()
    return shared


def of(workspace: Workspace, sequence: str | None = "outbound") -> dict[date, Row]:
    """Return the weeks of a sequence, or of the workspace, by their Monday."""
    rows = {row["week_start"]: row for row in workspace.rows_of("sequence_volumes", sequence)}
    return dict(sorted(rows.items()))


def judged(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in JUDGED)


@pytest.mark.parametrize(
    ("case", "usual", "phi", "threshold", "signal"),
    [
        (cases.add(*weeks(*before, last)), *expected)
        for before, last, *expected in [
            # Chance decides: 3.5 times the square root of 1.25 times 20 is 17.5.
            ([4] * 8, only(38), 20, 1, 17.5, "up"),
            ([4] * 8, only(37), 20, 1, 17.5, "as_usual"),
            ([4] * 8, only(3), 20, 1, 17.5, "as_usual"),
            ([4] * 8, only(2), 20, 1, 17.5, "down"),
            ([4] * 8, (0, 0, 0, 0, 0, 1, 1), 20, 1, 17.5, "down"),
            # At least ten messages.
            ([1] * 8, only(15), 5, 1, 10, "up"),
            ([1] * 8, only(14), 5, 1, 10, "as_usual"),
            # At least 35%.
            ([40] * 8, only(130), 200, 1, 70, "down"),
            ([40] * 8, only(131), 200, 1, 70, "as_usual"),
            # The last four weeks are what is usual, and all eight say how much it varies.
            ([2] * 4 + [4] * 4, 4, 20, 1.3801311186847085, 24.152294576982398, "as_usual"),
            # The median of the days is 2, and their median distance from it 1.
            ([(1, 1, 2, 3, 3)] * 8, 2, 10, 1.1242997820866107, 13.912500000000001, "as_usual"),
            # A sequence that sends on Mondays: the days do not show how much its weeks vary.
            ([only(20), only(32)] * 4, only(51), 26, 1.257941804066302, 25.099800796022265, "as_usual"),
            ([only(20), only(32)] * 4, only(52), 26, 1.257941804066302, 25.099800796022265, "up"),
            # Where weeks vary clearly more than chance explains, 1.7 times as much: 1.7 times 2.390.
            ([only(10), only(30)] * 4, only(91), 20, 1.7 * 2.390457218668787, 1.7 * 41.83300132670378, "as_usual"),
            ([only(10), only(30)] * 4, only(92), 20, 1.7 * 2.390457218668787, 1.7 * 41.83300132670378, "up"),
        ]
    ],
    indirect=["case"],
)
def test_a_week_is_unusual_if_it_differs_by_more_than_chance_ten_messages_and_35_percent(
    case: Workspace, usual: float, phi: float, threshold: float, signal: str
) -> None:
    row = of(case)[LAST]
    assert (row["sent_usual"], row["volume_signal"], row["not_judged"]) == (usual, signal, None)
    assert (row["phi"], row["threshold"]) == pytest.approx((phi, threshold))


ARCHIVED = cases.add(*weeks(*[4] * 8, 0))


@pytest.mark.parametrize(("case"), [ARCHIVED], indirect=True)
def test_a_sequence_that_is_not_active_keeps_its_figures(case: Workspace) -> None:
    row = of(case)[LAST]
    assert (*judged(row), row["not_judged"]) == (20, 1, 17.5, None, "not active")


@cases.happened(*weeks(*[4] * 8, first=MONDAY + WEEK))
def test_seven_weeks_are_too_few(case: Workspace) -> None:
    rows = of(case)
    assert [*rows] == [MONDAY + n * WEEK for n in range(1, 9)]
    assert [row["weeks_before"] for row in rows.values()] == [*range(8)]
    assert (*judged(rows[LAST]), rows[LAST]["not_judged"]) == (None, None, None, None, "needs 8 weeks; 7 so far")


@cases.happened(sent(march(3, 9)), *weeks(*[4] * 8, first=MONDAY + WEEK))
def test_a_first_week_that_begins_on_a_tuesday_is_not_compared_with(case: Workspace) -> None:
    rows = of(case)
    assert [row["weeks_before"] for row in rows.values()] == [0, *range(8)]
    assert [row["full_weeks"] for row in rows.values()] == [0, *range(8)]


@cases.happened(*weeks(*[(1, 1, 1, 1, 1, 9, 0)] * 8, 1))
def test_phi_is_over_forty_weekdays_and_leaves_out_weekends(case: Workspace) -> None:
    """With the weekends, the median would be 1 of (0, 0, 1, 1, 1, 3, 3) and its distance 1, not 0."""
    assert of(case)[LAST]["phi"] == 1


def test_there_is_no_row_for_activities_without_a_sequence_but_the_workspace_has_their_messages(
    workspace: Workspace,
) -> None:
    workspace.land_all([*weeks(2), sent(march(3, 10), "B", sequence=None)], *days(MONDAY, MONDAY + 7 * DAY))
    workspace.build()
    rows = {(row["scope"], row["sequence_template_id"]): row for row in workspace.rows("sequence_volumes")}
    assert {key: row["total_sent"] for key, row in rows.items()} == {
        ("sequence", uid("outbound")): 10,
        ("workspace", None): 11,
    }


def test_a_week_has_a_row_once_it_is_over_and_its_last_day_is_known(workspace: Workspace) -> None:
    sunday = MONDAY + 6 * DAY
    workspace.land_all(weeks(2), *days(MONDAY, sunday - DAY))
    workspace.land(sunday, is_open=True)
    workspace.build()
    assert [*of(workspace, None)] == []
    workspace.land(sunday)
    workspace.build()
    assert [*of(workspace, None)] == [MONDAY]


def landed(
    workspace: Workspace, happened: Collection[Activity], *missing: date, unproved: Collection[date] = ()
) -> Workspace:
    there = [activity for activity in happened if activity.created_at.date() not in missing]
    workspace.land_all(there, *(day for day in EVERY_DAY if day not in missing), unproved_days=unproved)
    workspace.build()
    return workspace


def test_a_week_with_unknown_days_is_not_judged_and_later_weeks_are_compared_with_others(workspace: Workspace) -> None:
    two, one = LAST - 4 * WEEK, LAST - 2 * WEEK
    landed(workspace, [*weeks(*[4] * 8, only(2))], two, one + 5 * DAY, unproved=[two + DAY])
    for rows in (of(workspace), of(workspace, None)):
        assert [row["days_unknown"] for row in rows.values()] == [0, 0, 0, 0, 2, 0, 1, 0, 0]
        assert (rows[two]["not_judged"], rows[one]["not_judged"]) == ("2 days unknown", "1 day unknown")
        assert (rows[two]["volume_signal"], rows[one]["volume_signal"]) == (None, None)
    last = of(workspace)[LAST]
    assert (last["full_weeks"], last["sent_usual"], last["volume_signal"]) == (6, 20, "down")


def test_six_full_weeks_are_enough(workspace: Workspace) -> None:
    """Three weeks have an unknown day. The first of them is not among the eight before the last week."""
    missing = [MONDAY + DAY + n * WEEK for n in (0, 4, 5)]
    happened = [a for a in weeks(*[4] * 9, only(2)) if a.created_at.date() not in missing]
    workspace.land_all(happened, *(day for day in days(MONDAY, LAST + 13 * DAY) if day not in missing))
    workspace.build()
    columns = ("full_weeks", "volume_signal", "not_judged")
    before, last = (tuple(of(workspace)[monday][name] for name in columns) for monday in (LAST, LAST + WEEK))
    assert before == (5, None, "needs 6 full weeks among the 8 before; has 5")
    assert last == (6, "down", None)


def test_in_a_week_without_any_message_the_workspace_has_a_finding_and_no_sequence_has(workspace: Workspace) -> None:
    landed(workspace, [*weeks(*[4] * 8, 0), *weeks(*[6] * 8, 0, sequence="nurture")])
    of_workspace = of(workspace, None)[LAST]
    assert (of_workspace["scope"], of_workspace["days_silent"], *judged(of_workspace)) == (
        "workspace", 5, 50, 1, pytest.approx(27.669929526473314), "down"
    )  # fmt: skip
    for sequence in ("outbound", "nurture"):
        row = of(workspace, sequence)[LAST]
        assert (row["days_silent"], row["volume_signal"]) == (5, None)
        assert row["not_judged"] == "the whole workspace sent nothing on 5 days"


def test_a_week_with_a_holiday_is_not_compared_with(workspace: Workspace) -> None:
    holidays = [(0, 0, 0, 0, 12), (12, 0, 0, 12, 12)]
    landed(workspace, [*weeks(*[12] * 5, *holidays, 12, 12)])
    rows = of(workspace)
    assert [row["days_silent"] for row in rows.values()] == [0, 0, 0, 0, 0, 4, 2, 0, 0]
    assert (rows[LAST]["full_weeks"], rows[LAST]["sent_usual"], rows[LAST]["volume_signal"]) == (6, 60, "as_usual")


@pytest.mark.parametrize(
    ("zone", "first"),
    [
        ("Europe/Paris", date(2026, 2, 2)),
        pytest.param("America/New_York", date(2026, 1, 19), marks=pytest.mark.full),
    ],
)
def test_weeks_begin_at_the_local_midnight_when_clocks_change(workspace: Workspace, zone: str, first: date) -> None:
    """The last second of each Sunday and the first of each Monday are in weeks of their own."""
    workspace.zone = zone
    mondays = [first + number * WEEK for number in range(9)]
    happened = []
    for monday in mondays:
        midnight = datetime(monday.year, monday.month, monday.day, tzinfo=ZoneInfo(zone)).astimezone(ZoneInfo("UTC"))
        happened += [sent(midnight + timedelta(microseconds=n)) for n in range(3)]
        happened += [sent(midnight - timedelta(microseconds=n)) for n in (1, 2)]
    workspace.land_all(happened, *days(first, mondays[-1] + 6 * DAY))
    workspace.build()
    assert [row["total_sent"] for row in of(workspace).values()] == [2, *[5] * 8, 3]
