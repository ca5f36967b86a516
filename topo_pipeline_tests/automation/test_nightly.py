"""Which days the nightly refresh reads."""

from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from topo_pipeline.automation.facts import LastLoad, RunInProgress, make_requests
from topo_pipeline.automation.nightly import days_to_read
from topo_pipeline.days import CLOSING_TIME, days_between
from topo_pipeline.definitions import defs
from topo_pipeline.defs.partitions import day_of

TODAY = date(2026, 3, 20)
SOME_TIME = datetime(2026, 3, 1, tzinfo=UTC)
CLOSED = LastLoad(SOME_TIME, SOME_TIME + timedelta(days=1), 7, is_open=False)
OPEN = LastLoad(SOME_TIME, SOME_TIME + timedelta(hours=1), 3, is_open=True)


def march(*numbers: int) -> list[date]:
    return [date(2026, 3, number) for number in numbers]


def night(**changes: Any) -> list[date]:
    facts: dict[str, Any] = {
        "today": TODAY,
        "start": date(2026, 1, 1),
        "lookback": 3,
        "loads": dict.fromkeys(days_between(date(2026, 3, 10), date(2026, 3, 19)), CLOSED),
        "failed": [],
        "lost": [],
        "in_progress": [],
    }
    return days_to_read(**facts | changes)


def landed(first: int, last: int = 19, **others: LastLoad | None) -> dict[date, LastLoad | None]:
    """Return closed loads for `first` to `last` March, and the given loads for the named days, such as `d12`."""
    return dict.fromkeys(march(*range(first, last + 1)), CLOSED) | {
        date(2026, 3, int(name[1:])): load for name, load in others.items()
    }


@pytest.mark.parametrize(("lookback", "expected"), [(3, [16, 17, 18, 19]), (0, [19]), (5, [14, 15, 16, 17, 18, 19])])
def test_yesterday_and_the_lookback_days_are_read_again(lookback: int, expected: list[int]) -> None:
    assert night(lookback=lookback) == march(*expected)


def test_days_missing_from_the_warehouse_are_read_again() -> None:
    assert night(lost=march(10, 12, 19)) == march(10, 12, 16, 17, 18, 19)


def test_if_nothing_has_landed_the_lookback_days_are_read() -> None:
    assert night(loads={}) == march(16, 17, 18, 19)


@pytest.mark.parametrize(
    "facts",
    [
        {"loads": landed(10) | landed(10, 11)},
        {"loads": {day: load for day, load in landed(10).items() if day.day != 12}},
        {"loads": landed(10, d12=OPEN)},
        {"loads": landed(10, d12=None)},
        {"failed": march(12)},
    ],
    ids=["none", "missing", "never closed", "load unknown", "refused after landing"],
)
def test_a_day_that_has_not_landed_closed_is_read(facts: dict[str, Any], request: pytest.FixtureRequest) -> None:
    missing = [] if request.node.callspec.id == "none" else march(12)
    assert night(**facts) == missing + march(16, 17, 18, 19)


def test_the_days_of_an_outage_are_read_in_one_run_with_the_lookback() -> None:
    days = night(loads=landed(1, 9))
    assert days == march(*range(10, 20))
    [request] = make_requests(days, purpose="night of", at=datetime(2026, 3, 20, 1, 15, tzinfo=UTC))
    assert (request.first, request.last) == (date(2026, 3, 10), date(2026, 3, 19))


def test_separate_days_are_separate_runs_and_run_keys_differ_by_tick() -> None:
    days = night(failed=march(11, 12, 14))
    tonight, tomorrow = (
        make_requests(days, purpose="night of", at=datetime(2026, 3, day, 1, 15, tzinfo=UTC)) for day in (20, 21)
    )
    assert [(r.first.day, r.last.day) for r in tonight] == [(11, 12), (14, 14), (16, 19)]
    assert len({request.key for request in (*tonight, *tomorrow)}) == 6


def test_days_before_the_first_landed_day_or_partition_are_not_read() -> None:
    assert night(failed=march(9), loads=landed(10)) == march(16, 17, 18, 19)
    assert night(start=date(2026, 3, 18), loads=landed(10, d12=OPEN)) == march(18, 19)
    assert night(start=date(2026, 3, 20)) == []


def test_if_the_first_partition_is_later_than_the_first_landed_day_missing_days_from_it_on_are_read() -> None:
    loads = landed(17) | dict.fromkeys(march(1), CLOSED)
    assert night(start=date(2026, 3, 14), loads=loads) == march(14, 15, 16, 17, 18, 19)


def test_today_is_not_read() -> None:
    assert night(loads=landed(10) | {TODAY: OPEN}) == march(16, 17, 18, 19)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (RunInProgress(date(2026, 3, 16), date(2026, 3, 18)), [19]),
        (RunInProgress(date(2026, 3, 1), date(2026, 3, 19)), []),
        (RunInProgress(date(2026, 3, 16), date(2026, 3, 19), started_on=date(2026, 3, 19)), [19]),
        (RunInProgress(date(2026, 3, 19), date(2026, 3, 19), started_on=date(2026, 3, 20)), [16, 17, 18]),
    ],
    ids=["queued", "queued for all days", "started before yesterday ended", "started after yesterday ended"],
)
def test_a_day_is_skipped_if_a_run_in_progress_will_close_it(run: RunInProgress, expected: list[int]) -> None:
    assert night(in_progress=[run]) == march(*expected)


CRON = next(schedule.cron_schedule for schedule in defs.schedules or [] if schedule.name == "nightly_refresh_schedule")


@pytest.mark.parametrize(
    ("zone", "late"),
    [
        *((zone, set()) for zone in ("Europe/London", "America/Havana", "Australia/Lord_Howe")),
        *(
            pytest.param(zone, set(), marks=pytest.mark.full)
            for zone in (
                "UTC", "Europe/Paris", "Atlantic/Azores", "Africa/Cairo", "Europe/Lisbon", "America/Santiago",
                "America/St_Johns", "Asia/Beirut", "Asia/Kolkata", "Pacific/Kiritimati",
            )
        ),
        # Dagster moves a time that doesn't exist to the end of the gap, but here to its beginning, midnight.
        ("Europe/Dublin", {date(2026, 3, 28)}),
    ],
)  # fmt: skip
def test_over_a_year_each_day_is_closed_the_night_after_or_the_next(zone: str, late: set[date]) -> None:
    """Where clocks change around 01:15, that time doesn't exist on one night or occurs twice."""
    daily = dg.DailyPartitionsDefinition(start_date="2026-01-01", timezone=zone, end_offset=1)
    begin = datetime(2026, 1, 2, 12, tzinfo=ZoneInfo(zone))
    ticks = schedule_execution_time_iterator(begin.timestamp(), CRON, zone)
    loads: dict[date, LastLoad | None] = {date(2026, 1, 1): CLOSED}
    left_open, nights = set(), []
    for tick in takewhile(lambda tick: tick.year < 2027, ticks):
        nights.append(tick.date())
        for day in night(today=tick.date(), loads=loads, lookback=0):
            end = day_of(str(day), daily).window.end
            loads[day] = OPEN if tick < end + CLOSING_TIME else CLOSED
        left_open |= {day for day, load in loads.items() if load == OPEN}
    assert nights == days_between(date(2026, 1, 3), date(2026, 12, 31))
    assert left_open == late
    assert set(loads.values()) == {CLOSED}
    assert sorted(loads) == days_between(date(2026, 1, 1), date(2026, 12, 30))
