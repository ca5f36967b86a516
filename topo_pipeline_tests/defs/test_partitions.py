"""A day is a partition in the reporting time zone: 23, 24 or 25 hours."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from topo_pipeline.defs.partitions import day_of, days_before
from topo_pipeline_tests.defs.conftest import DAILY, SETTINGS


def _zone(name: str) -> dg.DailyPartitionsDefinition:
    return dg.DailyPartitionsDefinition(start_date=datetime(2026, 1, 1), timezone=name, end_offset=1)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("zone", "key", "hours"),
    [
        ("Europe/Paris", "2026-03-28", 24),
        ("Europe/Paris", "2026-03-29", 23),
        ("Europe/Paris", "2026-10-25", 25),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Asia/Kolkata", "2026-03-29", 24),
    ],
)
def test_a_day_has_the_hours_that_its_time_zone_gives_it(zone: str, key: str, hours: int) -> None:
    day = day_of(key, _zone(zone))
    assert day.day == date.fromisoformat(key)
    assert day.window.end - day.window.start == timedelta(hours=hours)


def test_days_in_a_row_leave_no_gap_and_no_overlap() -> None:
    paris = _zone("Europe/Paris")
    keys = paris.get_partition_keys(current_time=datetime(2026, 12, 1, tzinfo=UTC))
    windows = [day_of(key, paris).window for key in keys]
    assert all(before.end == after.start for before, after in zip(windows, windows[1:], strict=False))


def test_today_is_a_partition_and_tomorrow_is_none() -> None:
    keys = DAILY.get_partition_keys(current_time=datetime(2026, 3, 20, 0, 0, 1, tzinfo=UTC))
    assert keys[0] == "2026-01-01"
    assert keys[-1] == "2026-03-20"


def test_a_key_is_the_iso_date_of_its_day() -> None:
    keys = DAILY.get_partition_keys(current_time=datetime(2028, 3, 1, tzinfo=UTC))
    assert [day_of(key, DAILY).day for key in keys] == [date.fromisoformat(key) for key in keys]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2026, 3, 3, 0, 0, tzinfo=UTC), ["2026-03-01", "2026-03-02"]),
        (datetime(2026, 3, 3, 23, 59, tzinfo=UTC), ["2026-03-01", "2026-03-02"]),
        (datetime(2026, 3, 3, 23, 59, tzinfo=ZoneInfo("America/New_York")), ["2026-03-02", "2026-03-03"]),
        (datetime(2026, 1, 2, 9, 0, tzinfo=UTC), ["2026-01-01"]),
        (datetime(2026, 1, 1, 9, 0, tzinfo=UTC), []),
    ],
    ids=["midnight", "a minute before", "told in another zone", "second day of all", "first day of all"],
)
def test_the_days_before_are_over_and_have_partitions(now: datetime, expected: list[str]) -> None:
    assert [str(day.day) for day in days_before(now, 2, SETTINGS)] == expected
