"""Grouping and formatting days."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topo_pipeline.days import contiguous, format_counts, format_days, last_stretch

DAYS = st.lists(st.dates(date(2026, 1, 1), date(2026, 2, 28)), unique=True)


@given(DAYS)
def test_contiguous_splits_days_at_every_gap(days: list[date]) -> None:
    ranges = list(contiguous(days))
    assert [day for each in ranges for day in each] == sorted(days)
    one = timedelta(days=1)
    assert all(later - earlier == one for each in ranges for earlier, later in zip(each, each[1:], strict=False))
    assert all(after[0] - before[-1] > one for before, after in zip(ranges, ranges[1:], strict=False))


@pytest.mark.parametrize(
    ("counts", "expected"),
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
def test_format_counts_lists_days_in_date_order(counts: dict[int, int], expected: str) -> None:
    assert format_counts({date(2026, 3, day): count for day, count in counts.items()}) == expected


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ([], ""),
        ([5, 1, 2, 3], "2026-03-01 to 2026-03-03, 2026-03-05"),
        ([1, 3, 5, 7, 9, 10, 12], "2026-03-01, 2026-03-03, 2026-03-05, 2026-03-07 and 3 more days"),
    ],
)
def test_format_days_lists_ranges_in_date_order_and_counts_the_days_left_out(days: list[int], expected: str) -> None:
    assert format_days([date(2026, 3, day) for day in days]) == expected


def test_the_last_stretch_ends_at_the_last_day_and_begins_after_the_last_gap() -> None:
    assert last_stretch(date(2026, 3, day) for day in (9, 1, 2, 8)) == [date(2026, 3, 8), date(2026, 3, 9)]
    assert last_stretch([]) == []
