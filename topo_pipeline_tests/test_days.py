"""Days in a row."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topo_pipeline.days import contiguous, format_counts, format_days

DAYS = st.lists(st.dates(date(2026, 1, 1), date(2026, 2, 28)), unique=True)


@given(DAYS)
def test_stretches_hold_every_day_once_without_a_gap_within_and_with_one_between(days: list[date]) -> None:
    stretches = list(contiguous(days))
    assert [day for stretch in stretches for day in stretch] == sorted(days)
    one = timedelta(days=1)
    assert all(
        later - earlier == one for stretch in stretches for earlier, later in zip(stretch, stretch[1:], strict=False)
    )
    assert all(after[0] - before[-1] > one for before, after in zip(stretches, stretches[1:], strict=False))


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, ""),
        ({1: 3}, "2026-03-01 (3)"),
        ({4: 1_200, 1: 3}, "2026-03-01 (3), 2026-03-04 (1,200)"),
        (
            dict.fromkeys(range(1, 6), 1),
            "2026-03-01 (1), 2026-03-02 (1), 2026-03-03 (1), 2026-03-04 (1) and 1 more day",
        ),
    ],
)
def test_days_with_a_count_are_listed_in_date_order(counts: dict[int, int], said: str) -> None:
    assert format_counts({date(2026, 3, day): count for day, count in counts.items()}) == said


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ([], ""),
        ([5, 1, 2, 3], "2026-03-01 to 2026-03-03, 2026-03-05"),
        ([1, 3, 5, 7, 9, 10, 12], "2026-03-01, 2026-03-03, 2026-03-05, 2026-03-07 and 3 more days"),
    ],
)
def test_stretches_of_days_are_listed_in_date_order_with_the_number_of_days_not_shown(
    days: list[int], said: str
) -> None:
    assert format_days([date(2026, 3, day) for day in days]) == said
