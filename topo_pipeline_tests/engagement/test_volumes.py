"""Days of unusual volume, compared with the same weekday in the weeks before."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from topo_pipeline_tests.engagement.helpers import Activity, Cases, Workspace, march, sent

MONDAY = date(2026, 3, 2)
WEEK = timedelta(weeks=1)
WEEKS = 10
LAST = MONDAY + (WEEKS - 1) * WEEK

cases = Cases()


def messages(counts: Iterable[int], first_week: int = 0) -> Iterator[Activity]:
    """Return this many messages on each Monday, from the one of `first_week` on."""
    for week, count in enumerate(counts, first_week):
        for n in range(count):
            yield sent(march(2) + week * WEEK, run=f"{week} {n}")


def on_mondays(*counts: int) -> list[Activity]:
    """Return this many messages on each of the last Mondays, and one on each Sunday before them."""
    first_week = WEEKS - len(counts)
    sundays = (sent(march(1) + week * WEEK, run=f"sunday {week}") for week in range(first_week, WEEKS))
    return [*messages(counts, first_week), *sundays]


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    shared.land_all(cases.activities)
    for status, case in STATUSES.items():
        shared.name(status, **{f"{case} outbound": "A sequence with a status"})
    shared.build("sequence_activity", "sequence_runs", "sequence_daily")
    return shared


def volume(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["sent_expected"], row["sent_deviation"], row["is_volume_anomaly"]


@pytest.mark.parametrize(
    ("case", "deviation", "is_anomaly"),
    [
        (cases.add(*on_mondays(8, 12, 8, 12, 10, 10, 12, 8, count)), deviation, is_anomaly)
        for count, deviation, is_anomaly in [
            *((40, 15.0, True), (16, 3.0, True), (15, 2.5, False)),
            *((10, 0.0, False), (4, -3.0, True)),
        ]
    ],
    indirect=["case"],
    ids=[40, 16, 15, 10, 4],
)
def test_a_volume_is_unusual_from_three_deviations_on(case: Workspace, deviation: float, is_anomaly: bool) -> None:
    assert volume(case.daily()[LAST]) == (10.0, deviation, is_anomaly)


@cases.happened(*on_mondays(999, 8, 12, 8, 12, 8, 12, 8, 12, 40))
def test_the_eight_weeks_before_count(case: Workspace) -> None:
    assert case.daily()[LAST]["sent_expected"] == 10.0


@cases.happened(*on_mondays(8, 12, 10, 40))
def test_three_known_weeks_are_too_few(case: Workspace) -> None:
    assert volume(case.daily()[LAST]) == (None, None, None)


@cases.happened(*on_mondays(10, 10, 10, 10, 40))
def test_the_deviation_is_null_where_the_volume_never_varied(case: Workspace) -> None:
    assert volume(case.daily()[LAST]) == (10.0, None, None)


def test_a_day_that_has_not_landed_does_not_count_as_zero(workspace: Workspace) -> None:
    counts = (8, 0, 12, 8, 12, 10)  # the second Monday has no activities, so it does not land
    workspace.land_all(messages(counts))
    workspace.build()
    assert workspace.daily()[MONDAY + 5 * WEEK]["sent_expected"] == 10.0


def test_an_open_day_is_neither_judged_nor_counted_as_usual(workspace: Workspace) -> None:
    late = Cases()
    case = late.add(*messages((8, 12, 8, 1, 10), first_week=1))
    is_open = MONDAY + 4 * WEEK  # the Monday with one message in both sequences
    workspace.land_all([*messages((8, 12, 8, 12, 1, 10)), *late.activities], still_open=is_open)
    workspace.build()
    daily = workspace.daily()
    assert (daily[is_open]["sent_expected"], daily[is_open]["is_volume_anomaly"]) == (10.0, None)
    assert daily[is_open + WEEK]["sent_expected"] == 10.0
    assert workspace.of_case(case).daily()[is_open + WEEK]["sent_expected"] is None  # three known Mondays


STATUSES = {
    status: cases.add(*on_mondays(8, 12, 8, 12, 10, 10, 12, 8, 40))
    for status in ("ACTIVE", "PAUSED", "ARCHIVED", "ADDED BY TOPO", None)
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
    assert volume(case.daily()[LAST]) == (10.0, 15.0, is_anomaly)
