"""When the heartbeat is sent for a nightly refresh."""

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


def reason_to_skip(
    refresh: NightlyRefresh | None, state: HeartbeatState = NOTHING_YET, now: datetime = NOW, **changes: object
) -> str | None:
    facts = {"loads": landed(*DAYS), "failed": ()} | changes
    return skip_reason(state, refresh, facts["loads"], facts["failed"], now)  # type: ignore[arg-type]


def test_the_heartbeat_is_sent_once_all_runs_succeeded_and_all_days_landed_closed() -> None:
    assert reason_to_skip(GOOD) is None


@pytest.mark.parametrize(
    ("refresh", "changes", "expected"),
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
def test_the_reason_for_not_sending_the_heartbeat_is_given(
    refresh: NightlyRefresh | None, changes: dict[str, object], expected: str
) -> None:
    assert expected in str(reason_to_skip(refresh, **changes))


def test_each_night_is_reported_once() -> None:
    state = HeartbeatState().after_success(AT)
    assert "Nothing left to send" in str(reason_to_skip(GOOD, state))
    tomorrow = night("succeeded", "succeeded", at=AT + timedelta(days=1))
    assert reason_to_skip(tomorrow, state, NOW + timedelta(days=1)) is None


def test_a_failed_heartbeat_is_retried_with_growing_waits_up_to_a_limit() -> None:
    state, now, waits = HeartbeatState(), NOW, []
    while reason_to_skip(GOOD, state, now) is None:
        state = state.after_failure(AT, now)
        assert state.next_attempt is not None
        waits.append(state.next_attempt - now)
        if not state.done:
            assert "Next attempt" in str(reason_to_skip(GOOD, state, state.next_attempt - timedelta(seconds=1)))
        now = state.next_attempt
    assert len(waits) == MAX_ATTEMPTS
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (timedelta(minutes=2), MAX_WAIT)
    assert now - AT < timedelta(hours=4)
    assert "Nothing left to send" in str(reason_to_skip(GOOD, state, now))


def test_a_failed_heartbeat_does_not_delay_the_next_night() -> None:
    state = HeartbeatState().after_failure(AT, NOW)
    later = AT + timedelta(minutes=1)
    assert reason_to_skip(night("succeeded", "succeeded", at=later), state) is None
    assert state.after_failure(later, NOW).attempts == 1
