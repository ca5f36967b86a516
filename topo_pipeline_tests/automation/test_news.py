"""When today is requested."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from topo_pipeline.automation.facts import LastLoad, RunInProgress
from topo_pipeline.automation.news import NewsState, bounds_of, decide, skip_reason
from topo_pipeline.days import Day, Window

TODAY = date(2026, 3, 20)
START = datetime(2026, 3, 20, tzinfo=UTC)
NOW = START + timedelta(hours=12)
DAY = Day(TODAY, Window(START, START + timedelta(days=1)))
FIRST_DAY = date(2026, 1, 1)


def landed(count: int) -> LastLoad:
    return LastLoad(START - timedelta(seconds=1), NOW - timedelta(hours=1), count, is_open=True)


def minutes_ago(count: int, tried: int | None = None, day: date = TODAY) -> NewsState:
    return NewsState(NOW - timedelta(minutes=count), day, tried)


@pytest.mark.parametrize(
    ("last", "count", "is_asked_for"),
    [
        (None, 0, False),
        (None, 4, True),
        (landed(4), 4, False),
        (landed(4), 5, True),
        (landed(4), 3, True),
    ],
    ids=["no activities", "first of the day", "same as landed", "more", "fewer"],
)
def test_today_is_requested_if_topos_count_differs_from_the_landed_one(
    last: LastLoad | None, count: int, is_asked_for: bool
) -> None:
    decision = decide(NewsState(), TODAY, last, count, NOW)
    assert [(request.first, request.last) for request in decision.requests] == [(TODAY, TODAY)] * is_asked_for
    assert str(count) in decision.reason


def test_a_count_that_did_not_land_is_not_requested_again() -> None:
    first = decide(NewsState(), TODAY, landed(4), 5, NOW)
    again = decide(first.state, TODAY, landed(4), 5, NOW + timedelta(hours=1))
    assert (len(first.requests), len(again.requests)) == (1, 0)
    assert again.state == first.state
    assert len(decide(again.state, TODAY, landed(4), 6, NOW + timedelta(hours=1)).requests) == 1


def test_after_another_count_has_landed_an_earlier_one_is_requested_again() -> None:
    tried = decide(NewsState(), TODAY, landed(4), 5, NOW).state
    agreed = decide(tried, TODAY, landed(6), 6, NOW).state
    assert len(decide(agreed, TODAY, landed(6), 5, NOW).requests) == 1


def test_yesterdays_count_does_not_affect_today() -> None:
    yesterday = TODAY - timedelta(days=1)
    assert len(decide(minutes_ago(60, tried=5, day=yesterday), TODAY, None, 5, NOW).requests) == 1


@pytest.mark.parametrize(("ago", "is_skipped"), [(0, True), (14, True), (15, False), (-30, False)])
def test_requests_are_at_least_fifteen_minutes_apart(ago: int, is_skipped: bool) -> None:
    reason = skip_reason(minutes_ago(ago), DAY, NOW, start=FIRST_DAY, in_progress=[])
    assert (reason is not None) == is_skipped  # a clock that was set back delays nothing


def test_an_hour_of_changing_counts_leads_to_four_requests() -> None:
    state, asked = NewsState(), []
    for minute in range(0, 60, 5):
        now = NOW + timedelta(minutes=minute)
        if skip_reason(state, DAY, now, start=FIRST_DAY, in_progress=[]) is None:
            decision = decide(state, TODAY, landed(0), 10 + minute, now)
            state = decision.state
            asked += [(minute, request.key) for request in decision.requests]
    assert [minute for minute, _ in asked] == [0, 15, 30, 45]
    assert len({key for _, key in asked}) == 4


@pytest.mark.parametrize(
    ("run", "is_skipped"),
    [
        (RunInProgress(TODAY, TODAY), True),
        (RunInProgress(date(2026, 3, 1), TODAY, started_on=TODAY), True),
        (RunInProgress(date(2026, 3, 1), date(2026, 3, 19), started_on=TODAY), False),
    ],
    ids=["queued", "running", "other days"],
)
def test_today_is_skipped_while_a_run_includes_it(run: RunInProgress, is_skipped: bool) -> None:
    assert (skip_reason(NewsState(), DAY, NOW, start=FIRST_DAY, in_progress=[run]) is not None) == is_skipped


def test_today_is_skipped_before_the_first_partition() -> None:
    reason = skip_reason(NewsState(), DAY, NOW, start=date(2026, 3, 21), in_progress=[])
    assert reason is not None
    assert "TOPO_START_DATE" in reason


def test_the_first_minutes_after_midnight_are_skipped() -> None:
    is_skipped = [
        skip_reason(NewsState(), DAY, START + timedelta(minutes=minute), start=FIRST_DAY, in_progress=[]) is not None
        for minute in (0, 1, 2, 3)
    ]
    assert is_skipped == [True, True, True, False]


def test_today_is_counted_from_the_last_loads_bound_to_two_minutes_ago() -> None:
    assert bounds_of(DAY, None, NOW) == (START - timedelta(seconds=1), NOW - timedelta(minutes=2))
    last = LastLoad(START - timedelta(seconds=3), NOW, 4, is_open=True)
    assert bounds_of(DAY, last, NOW) == (START - timedelta(seconds=3), NOW - timedelta(minutes=2))


def test_a_day_of_25_hours_is_counted_to_its_end() -> None:
    paris = ZoneInfo("Europe/Paris")
    window = Window(datetime(2026, 10, 25, tzinfo=paris), datetime(2026, 10, 26, tzinfo=paris))
    now = datetime(2026, 10, 25, 23, 30, tzinfo=paris)
    after, before = bounds_of(Day(date(2026, 10, 25), window), None, now)
    assert before - after == timedelta(hours=24, minutes=28, seconds=1)
