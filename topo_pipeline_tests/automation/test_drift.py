"""Which landed days are compared with Topo's counts, and which are read again."""

from datetime import UTC, date, datetime, timedelta

import pytest

from topo_pipeline.automation.drift import OLDER_DAYS, RECENT_DAYS, Comparison, DriftState, decide, due
from topo_pipeline.automation.facts import LastLoad
from topo_pipeline.common.cursors import read_cursor, write_cursor
from topo_pipeline.days import days_between
from topo_pipeline.topo_api.errors import TopoError, TopoUnavailable

TODAY = date(2026, 3, 20)
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
ONE = date(2026, 3, 10)


def load(count: int) -> LastLoad:
    return LastLoad(NOW, NOW, count, is_open=False)


def before(days: int) -> date:
    return TODAY - timedelta(days=days)


def tick(
    state: DriftState, landed: dict[date, int], counts: dict[date, int | TopoError], now: datetime = NOW
) -> tuple[DriftState, list[date]]:
    """Run a tick with each landed day's count and Topo's counts now. The state goes through its cursor."""
    decision = decide(state, {day: load(count) for day, count in landed.items()}, counts, TODAY, now)
    asked = [day for request in decision.requests for day in days_between(request.first, request.last)]
    return read_cursor(write_cursor(decision.state), DriftState()), asked


def test_at_first_every_day_of_the_last_weeks_is_due_except_today() -> None:
    assert sorted(due(DriftState(), TODAY, NOW)) == [before(ago) for ago in range(OLDER_DAYS, 0, -1)]


@pytest.mark.parametrize(("after", "expected"), [(59, 0), (60, RECENT_DAYS), (1439, RECENT_DAYS), (1440, OLDER_DAYS)])
def test_recent_days_are_due_after_an_hour_and_older_ones_after_a_day(after: int, expected: int) -> None:
    state = DriftState({before(ago): Comparison(NOW) for ago in range(1, OLDER_DAYS + 1)})
    assert len(due(state, TODAY, NOW + timedelta(minutes=after))) == expected


def test_the_day_compared_longest_ago_comes_first() -> None:
    at = {1: 90, 2: 120, 3: 60}
    state = DriftState({before(ago): Comparison(NOW - timedelta(minutes=minutes)) for ago, minutes in at.items()})
    order = due(state, TODAY, NOW)
    assert order[-3:] == [before(2), before(1), before(3)]


def test_a_comparison_in_the_future_does_not_delay_a_day() -> None:
    assert before(1) in due(DriftState({before(1): Comparison(NOW + timedelta(days=9))}), TODAY, NOW)


@pytest.mark.parametrize(("count", "expected"), [(7, []), (8, [ONE]), (6, [ONE])], ids=["same", "more", "fewer"])
def test_a_day_is_read_again_if_topos_count_has_changed(count: int, expected: list[date]) -> None:
    _, asked = tick(DriftState(), {ONE: 7}, {ONE: count})
    assert asked == expected


def test_a_day_that_does_not_land_is_requested_once_per_count() -> None:
    state, asked = DriftState(), []
    for hour, count in enumerate([8, 8, 8, 9, 9, 8]):
        state, days = tick(state, {ONE: 7}, {ONE: count}, NOW + timedelta(hours=hour))
        asked.append(days)
    assert asked == [[ONE], [], [], [ONE], [], [ONE]]


def test_a_day_that_lands_with_another_count_is_not_requested_repeatedly() -> None:
    state, asked = DriftState(), 0
    for hour in range(10):  # as if small and full pages reported different counts
        state, days = tick(state, {ONE: 7 + (hour > 0)}, {ONE: 9}, NOW + timedelta(hours=hour))
        asked += len(days)
    assert asked == 1


def test_after_a_matching_load_an_earlier_count_is_requested_again() -> None:
    state, _ = tick(DriftState(), {ONE: 7}, {ONE: 8})
    state, none = tick(state, {ONE: 9}, {ONE: 9})
    _, asked = tick(state, {ONE: 9}, {ONE: 8})
    assert (none, asked) == ([], [ONE])


def test_consecutive_days_are_one_run_and_run_keys_differ_by_tick() -> None:
    landed = {before(ago): 7 for ago in (2, 3, 4, 9)}
    loads, counts = {day: load(7) for day in landed}, dict.fromkeys(landed, 8)
    ticks = [decide(DriftState(), loads, counts, TODAY, NOW + timedelta(minutes=m)) for m in (0, 5)]
    assert [(r.first, r.last) for r in ticks[0].requests] == [(before(9), before(9)), (before(4), before(2))]
    assert len({request.key for decision in ticks for request in decision.requests}) == 4


def test_an_unanswered_day_stays_due_and_keeps_its_state() -> None:
    then = NOW - timedelta(days=2)
    known = DriftState({ONE: Comparison(then, tried=8), before(1): Comparison(then)})
    down = TopoUnavailable("api.topo.io gave no usable answer")
    decision = decide(known, {ONE: load(7), before(1): load(7)}, {before(1): 7, ONE: down}, TODAY, NOW)
    assert decision.state.looks == {ONE: known.looks[ONE], before(1): Comparison(NOW)}
    assert decision.requests == ()
    assert "no usable answer" in decision.reason


def test_the_state_holds_only_the_days_that_are_compared() -> None:
    full = DriftState({before(ago): Comparison(NOW, tried=123_456) for ago in range(1, 100)})
    state, _ = tick(full, {}, {})
    assert set(state.looks) == {before(ago) for ago in range(1, OLDER_DAYS + 1)}
    assert len(write_cursor(state)) < 3000
