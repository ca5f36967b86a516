"""A day is a partition in the reporting time zone: 23, 24 or 25 hours."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from topo_pipeline.defs.partitions import day_of, days_before
from topo_pipeline.defs.records import last_loads
from topo_pipeline_tests.defs.conftest import ACTIVITIES, DAILY, NOW, SETTINGS, Pipeline, days, pipeline_over
from topo_pipeline_tests.defs.in_memory import copy_records


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
def test_a_day_has_23_24_or_25_hours_in_its_time_zone(zone: str, key: str, hours: int) -> None:
    day = day_of(key, _zone(zone))
    assert day.day == date.fromisoformat(key)
    assert day.window.end - day.window.start == timedelta(hours=hours)


def test_consecutive_days_have_no_gap_and_no_overlap() -> None:
    paris = _zone("Europe/Paris")
    keys = paris.get_partition_keys(current_time=datetime(2026, 12, 1, tzinfo=UTC))
    windows = [day_of(key, paris).window for key in keys]
    assert all(before.end == after.start for before, after in zip(windows, windows[1:], strict=False))


def test_today_is_the_last_partition() -> None:
    keys = DAILY.get_partition_keys(current_time=datetime(2026, 3, 20, 0, 0, 1, tzinfo=UTC))
    assert keys[0] == "2026-01-01"
    assert keys[-1] == "2026-03-20"


def test_a_partition_key_is_the_iso_date_of_its_day() -> None:
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
    ids=["midnight", "a minute before", "in another zone", "on the second day", "on the first day"],
)
def test_days_before_returns_past_days_with_partitions(now: datetime, expected: list[str]) -> None:
    assert [str(day.day) for day in days_before(now, 2, SETTINGS)] == expected


def test_a_day_is_read_in_the_time_zone_of_the_settings(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, timezone="Asia/Tokyo") as tokyo:
        assert tokyo.read([date(2026, 3, 18)]).success
        start, end = datetime(2026, 3, 17, 15, tzinfo=UTC), datetime(2026, 3, 18, 15, tzinfo=UTC)
        [(day, count, first, last)] = tokyo.rows(
            "SELECT day, count(*), min(created_at), max(created_at) FROM topo.activities GROUP BY day"
        )
    assert (day, count > 0) == (date(2026, 3, 18), True)
    assert start <= first < start + timedelta(hours=12) < last < end


def test_an_earlier_start_date_adds_partitions_and_keeps_what_has_landed(tmp_path: Path, api_key: str) -> None:
    added, landed, ledger = days(2), days(2, date(2026, 3, 3)), "SELECT day, load_id FROM topo.loads ORDER BY day"
    with (
        pipeline_over(tmp_path, api_key, start_date="2026-03-03") as late,
        pipeline_over(tmp_path, api_key, start_date="2026-03-01") as early,
    ):
        assert _landed(late) == dict.fromkeys(days(18, date(2026, 3, 3)), False)
        assert late.only("activities", "sequence_activity").backfill(landed).problems == ()
        loads = late.rows(ledger)
        copy_records(late.instance, early.instance)
        assert _landed(early) == {day: day in landed for day in days(20)}
        assert last_loads(early.instance, SETTINGS).keys() == set(landed)
        assert early.only("activities", "sequence_activity").backfill(added).problems == ()
        assert _landed(early) == {day: day in [*added, *landed] for day in days(20)}
        assert early.rows(ledger)[len(added) :] == loads
        assert _landed(early, dg.AssetKey(["engagement", "sequence_activity"])) == _landed(early)


def _landed(pipeline: Pipeline, key: dg.AssetKey = ACTIVITIES) -> dict[date, bool]:
    """Return every partition and whether Dagster shows it as materialized."""
    [asset] = [asset for asset in pipeline.definitions.assets or () if asset.key == key]
    keys = asset.partitions_def.get_partition_keys(current_time=NOW)
    statuses = pipeline.instance.get_status_by_partition(key, keys, asset.partitions_def) or {}
    return {date.fromisoformat(key): statuses.get(key) == dg.AssetPartitionStatus.MATERIALIZED for key in keys}
