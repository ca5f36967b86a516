"""Days on which a sequence sent nothing although it always sends on that weekday."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import pytest

from topo_pipeline_tests.engagement.helpers import DAILY, Activity, Cases, Workspace, march, sent

MONDAY = date(2026, 3, 2)
WEEK = timedelta(weeks=1)
WEEKS = 10
LAST = MONDAY + (WEEKS - 1) * WEEK
USUAL = (10,) * 8

cases = Cases()


def on_mondays(*counts: int, sequence: str = "outbound", hour: int = 9) -> list[Activity]:
    """Return this many messages on each of the last Mondays. One on the Sunday before begins the sequence."""
    first_week = WEEKS - len(counts)
    begun = sent(march(1, hour) + first_week * WEEK, sequence, sequence=sequence)
    return [begun, *messages(counts, first_week, sequence, hour)]


def messages(counts: Iterable[int], first_week: int, sequence: str, hour: int = 9) -> Iterator[Activity]:
    for week, count in enumerate(counts, first_week):
        for n in range(count):
            yield sent(march(2, hour, n) + week * WEEK, sequence, sequence=sequence)


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    shared.land_all(cases.activities)
    for status, case in STATUSES.items():
        shared.name(status, **{f"{case} outbound": "A sequence with a status"})
    shared.build(*DAILY)
    return shared


def volume(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["sent_expected"], row["is_volume_anomaly"]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (cases.add(*on_mondays(*counts)), expected)
        for counts, expected in [
            ((*USUAL, 0), (10.0, True)),
            ((*USUAL, 1), (10.0, False)),
            ((*USUAL, 50), (10.0, False)),
            ((3, 9, 9, 9, 11, 11, 11, 11, 0), (10.0, True)),
            ((2, 10, 10, 10, 10, 10, 10, 10, 0), (10.0, False)),  # not always three or more
            ((9, 9, 9, 9, 10, 10, 10, 10, 0), (9.5, False)),  # usually fewer than ten
            ((0, *USUAL, 0), (10.0, True)),  # nine weeks before
            ((10, 10, 10, 10, 10, 10, 0), (10.0, True)),
            ((10, 10, 10, 10, 10, 0), (10.0, None)),
            ((10, 10, 10, 0), (None, None)),
        ]
    ],
    indirect=["case"],
)
def test_a_day_without_messages_is_unusual_if_that_weekday_always_has_many(
    case: Workspace, expected: tuple[Any, ...]
) -> None:
    assert volume(case.daily()[LAST]) == expected


STATUSES = {
    status: cases.add(*on_mondays(*USUAL, 0)) for status in ("ACTIVE", "PAUSED", "ARCHIVED", "ADDED BY TOPO", None)
}


@pytest.mark.parametrize(
    ("case", "is_anomaly"),
    [(case, True if status in ("ACTIVE", None) else None) for status, case in STATUSES.items()],
    indirect=["case"],
    ids=[str(status) for status in STATUSES],
)
def test_only_sequences_that_are_active_or_of_unknown_status_have_unusual_days(
    case: Workspace, is_anomaly: bool | None
) -> None:
    assert volume(case.daily()[LAST]) == (10.0, is_anomaly)


def two_sequences(counts: Sequence[int]) -> list[Activity]:
    """Return the messages of a sequence that stops, and of one that has the same numbers and does not stop."""
    return [*on_mondays(*counts, 0), *on_mondays(*counts, 10, sequence="lively", hour=12)]


# test_daily_grid distinguishes the kinds of unknown days.
@pytest.mark.parametrize(
    "kind", ["unproved", *(pytest.param(kind, marks=pytest.mark.full) for kind in ("open", "missing"))]
)
def test_an_unknown_day_is_neither_judged_nor_compared_with(workspace: Workspace, kind: str) -> None:
    odd = LAST - WEEK
    counts = [10] * 7 + [0 if kind != "missing" else 10]
    happened = [a for a in two_sequences(counts) if kind != "missing" or a.created_at.date() != odd]
    workspace.land_all(
        happened,
        *([odd] if kind != "missing" else []),
        open_days=[odd] if kind == "open" else [],
        unproved_days=[odd] if kind == "unproved" else [],
    )
    workspace.build(*DAILY)
    daily = workspace.daily()
    assert volume(daily[LAST]) == (10.0, True)
    if kind != "missing":
        assert volume(daily[odd]) == (10.0, None)


def test_a_day_on_which_the_whole_workspace_sent_nothing_is_its_finding_alone(workspace: Workspace) -> None:
    holiday = LAST - WEEK
    workspace.land_all(two_sequences([10] * 7 + [0]), holiday)
    workspace.build()
    for sequence in ("outbound", "lively"):
        assert volume(workspace.daily(sequence)[holiday]) == (10.0, False)
    days = {row["day"]: row for row in workspace.rows("workspace_daily")}
    assert volume(days[holiday]) == (20.0, True)
    # The holiday does not stop the comparison of later days.
    assert volume(workspace.daily()[LAST]) == (10.0, True)
    assert volume(workspace.daily("lively")[LAST]) == (10.0, False)
    assert volume(days[LAST]) == (20.0, False)


def test_a_silent_day_of_the_workspace_is_recognized_after_four_weeks_if_it_is_known(workspace: Workspace) -> None:
    """On each weekday other numbers of messages."""
    numbers = [
        ((10, 10, 10, 10, 0), (10.0, True)),
        ((10, 10, 10, 0), (None, None)),
        ((9, 9, 10, 10, 0), (9.5, False)),
        ((*USUAL, 0), (10.0, None)),  # not proved
    ]
    ends = [LAST + timedelta(days=weekday) for weekday in range(len(numbers))]
    happened = [
        sent(march(2 + weekday, 9, n) + week * WEEK)
        for weekday, (counts, _) in enumerate(numbers)
        for week, count in enumerate(counts, WEEKS - len(counts))
        for n in range(count)
    ]
    workspace.land_all(happened, *ends, unproved_days=ends[-1:])
    workspace.build()
    days = {row["day"]: row for row in workspace.rows("workspace_daily")}
    assert [volume(days[end]) for end in ends] == [expected for _, expected in numbers]
