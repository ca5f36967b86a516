"""Which nights are good, and when the watcher is told."""

from datetime import UTC, date, datetime, timedelta

import pytest

from topo_pipeline.automation.facts import LastLoad
from topo_pipeline.automation.heartbeat import ATTEMPTS, LONGEST_WAIT, Memory, Night, Status, hold_back

AT = datetime(2026, 3, 20, 1, 15, tzinfo=UTC)
NOW = AT + timedelta(minutes=5)
DAYS = [date(2026, 3, 17), date(2026, 3, 19)]


def landed(*days: date, is_open: bool = False) -> dict[date, LastLoad | None]:
    return dict.fromkeys(days, LastLoad(AT, AT, 7, is_open))


def night(*statuses: Status, stretches: int = 2, at: datetime = AT) -> Night:
    return Night(at, stretches, dict(zip(("a", "b", "c"), statuses, strict=False)), DAYS)


GOOD = night("succeeded", "succeeded")


NOTHING_YET = Memory()


def why(what: Night | None, memory: Memory = NOTHING_YET, now: datetime = NOW, **changes: object) -> str | None:
    facts = {"loads": landed(*DAYS), "failed": ()} | changes
    return hold_back(memory, what, facts["loads"], facts["failed"], now)  # type: ignore[arg-type]


def test_a_night_is_good_once_each_of_its_runs_succeeded_and_every_day_of_it_landed_closed() -> None:
    assert why(GOOD) is None


@pytest.mark.parametrize(
    ("what", "changes", "says"),
    [
        (None, {}, "No night"),
        (night("succeeded"), {}, "under way"),
        (night("succeeded", "under way"), {}, "under way"),
        (night("failed", "under way"), {}, "failed"),
        (night("succeeded", "failed"), {}, "failed"),
        (GOOD, {"loads": {}}, "did not land: 2026-03-17, 2026-03-19"),
        (GOOD, {"loads": landed(DAYS[0])}, "did not land: 2026-03-19"),
        (GOOD, {"loads": landed(*DAYS) | {DAYS[1]: None}}, "did not land: 2026-03-19"),
        (GOOD, {"loads": landed(*DAYS) | landed(DAYS[1], is_open=True)}, "did not land: 2026-03-19"),
        (GOOD, {"failed": [DAYS[0], date(2026, 1, 1)]}, "did not land: 2026-03-17."),
        (GOOD, {"now": AT + timedelta(days=1, seconds=1)}, "No night"),
    ],
)
def test_what_is_not_a_good_night_or_not_yet_is_said(what: Night | None, changes: dict[str, object], says: str) -> None:
    assert says in str(why(what, **changes))


def test_a_night_that_was_answered_is_done_and_the_next_one_is_not() -> None:
    memory = Memory().answered(AT)
    assert "done" in str(why(GOOD, memory))
    tomorrow = night("succeeded", "succeeded", at=AT + timedelta(days=1))
    assert why(tomorrow, memory, NOW + timedelta(days=1)) is None


def test_a_request_that_failed_is_tried_again_later_and_later_and_a_few_times_only() -> None:
    memory, now, waits = Memory(), NOW, []
    while why(GOOD, memory, now) is None:
        memory = memory.failed(AT, now)
        assert memory.next_attempt is not None
        waits.append(memory.next_attempt - now)
        if not memory.done:
            assert "Next attempt" in str(why(GOOD, memory, memory.next_attempt - timedelta(seconds=1)))
        now = memory.next_attempt
    assert len(waits) == ATTEMPTS
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (timedelta(minutes=2), LONGEST_WAIT)
    assert now - AT < timedelta(hours=4)
    assert "done" in str(why(GOOD, memory, now))


def test_what_failed_for_one_night_delays_no_other() -> None:
    memory = Memory().failed(AT, NOW)
    later = AT + timedelta(minutes=1)
    assert why(night("succeeded", "succeeded", at=later), memory) is None
    assert memory.failed(later, NOW).attempts == 1
