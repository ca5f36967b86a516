"""Which nights are good, and when the watcher is told."""

from datetime import UTC, date, datetime, timedelta

import pytest

from topo_pipeline.automation.facts import LastLoad
from topo_pipeline.automation.heartbeat import (
    MAX_ATTEMPTS,
    MAX_WAIT,
    HeartbeatState,
    NightlyRefresh,
    Status,
    skip_reason,
)

AT = datetime(2026, 3, 20, 1, 15, tzinfo=UTC)
NOW = AT + timedelta(minutes=5)
DAYS = [date(2026, 3, 17), date(2026, 3, 19)]


def landed(*days: date, is_open: bool = False) -> dict[date, LastLoad | None]:
    return dict.fromkeys(days, LastLoad(AT, AT, 7, is_open))


def night(*statuses: Status, stretches: int = 2, at: datetime = AT) -> NightlyRefresh:
    return NightlyRefresh(at, stretches, dict(zip(("a", "b", "c"), statuses, strict=False)), DAYS)


GOOD = night("succeeded", "succeeded")


NOTHING_YET = HeartbeatState()


def why(
    what: NightlyRefresh | None, state: HeartbeatState = NOTHING_YET, now: datetime = NOW, **changes: object
) -> str | None:
    facts = {"loads": landed(*DAYS), "failed": ()} | changes
    return skip_reason(state, what, facts["loads"], facts["failed"], now)  # type: ignore[arg-type]


def test_a_night_is_good_once_each_of_its_runs_succeeded_and_every_day_of_it_landed_closed() -> None:
    assert why(GOOD) is None


@pytest.mark.parametrize(
    ("what", "changes", "says"),
    [
        (None, {}, "No nightly refresh"),
        (night("succeeded"), {}, "in progress"),
        (night("succeeded", "in progress"), {}, "in progress"),
        (night("failed", "in progress"), {}, "failed"),
        (night("succeeded", "failed"), {}, "failed"),
        (GOOD, {"loads": {}}, "did not land these days: 2026-03-17, 2026-03-19"),
        (GOOD, {"loads": landed(DAYS[0])}, "did not land these days: 2026-03-19"),
        (GOOD, {"loads": landed(*DAYS) | {DAYS[1]: None}}, "did not land these days: 2026-03-19"),
        (GOOD, {"loads": landed(*DAYS) | landed(DAYS[1], is_open=True)}, "did not land these days: 2026-03-19"),
        (GOOD, {"failed": [DAYS[0], date(2026, 1, 1)]}, "did not land these days: 2026-03-17."),
        (GOOD, {"now": AT + timedelta(days=1, seconds=1)}, "No nightly refresh"),
    ],
)
def test_what_is_not_a_good_night_or_not_yet_is_said(
    what: NightlyRefresh | None, changes: dict[str, object], says: str
) -> None:
    assert says in str(why(what, **changes))


def test_a_night_that_was_answered_is_done_and_the_next_one_is_not() -> None:
    state = HeartbeatState().after_success(AT)
    assert "Nothing left to send" in str(why(GOOD, state))
    tomorrow = night("succeeded", "succeeded", at=AT + timedelta(days=1))
    assert why(tomorrow, state, NOW + timedelta(days=1)) is None


def test_a_request_that_failed_is_tried_again_later_and_later_and_a_few_times_only() -> None:
    state, now, waits = HeartbeatState(), NOW, []
    while why(GOOD, state, now) is None:
        state = state.after_failure(AT, now)
        assert state.next_attempt is not None
        waits.append(state.next_attempt - now)
        if not state.done:
            assert "Next attempt" in str(why(GOOD, state, state.next_attempt - timedelta(seconds=1)))
        now = state.next_attempt
    assert len(waits) == MAX_ATTEMPTS
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (timedelta(minutes=2), MAX_WAIT)
    assert now - AT < timedelta(hours=4)
    assert "Nothing left to send" in str(why(GOOD, state, now))


def test_what_failed_for_one_night_delays_no_other() -> None:
    state = HeartbeatState().after_failure(AT, NOW)
    later = AT + timedelta(minutes=1)
    assert why(night("succeeded", "succeeded", at=later), state) is None
    assert state.after_failure(later, NOW).attempts == 1
