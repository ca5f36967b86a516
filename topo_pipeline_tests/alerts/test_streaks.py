"""Which failures and recoveries are reported, and the text of the message."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topo_pipeline.alerts.streaks import Alert, AlertState, Failure, find_alert, message
from topo_pipeline.common.cursors import read_cursor, write_cursor

START = datetime(2026, 3, 20, 1, 15, tzinfo=UTC)
DAY, OTHER = "2026-03-05", "2026-03-06"


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def failed(subject: str, minute: int, run: str | None = "1f2e3d4c", reason: str = "1 missing") -> Failure:
    return Failure(subject, at(minute), run, reason)


def subjects(found: Alert) -> tuple[list[str], list[str]]:
    return [failure.subject for failure in found.failing], list(found.recovered)


def test_only_the_first_failure_of_a_streak_is_reported() -> None:
    first, failing = find_alert({}, [failed(DAY, 1)], {})
    assert subjects(first) == ([DAY], [])
    again, failing = find_alert(failing, [failed(DAY, 2)], {})
    assert not again
    between, failing = find_alert(failing, [], {})
    assert not between
    assert failing == {DAY: at(2)}


def test_a_recovery_is_reported_once_and_a_later_failure_again() -> None:
    _, failing = find_alert({}, [failed(DAY, 1)], {})
    recovery, failing = find_alert(failing, [], {DAY: at(5)})
    assert subjects(recovery) == ([], [DAY])
    assert not find_alert(failing, [], {DAY: at(5)})[0]
    relapse, _ = find_alert(failing, [failed(DAY, 6)], {DAY: at(5)})
    assert subjects(relapse) == ([DAY], [])


def test_a_success_before_the_last_failure_is_not_a_recovery() -> None:
    _, failing = find_alert({}, [failed(DAY, 1)], {})
    relapsed, failing = find_alert(failing, [failed(DAY, 3)], {DAY: at(2)})
    assert not relapsed
    assert not find_alert(failing, [], {DAY: at(2)})[0]
    assert not find_alert(failing, [], {DAY: at(3)})[0]


def test_each_day_has_its_own_streak() -> None:
    _, failing = find_alert({}, [failed(DAY, 1)], {})
    found, failing = find_alert(failing, [failed(DAY, 2), failed(OTHER, 2)], {})
    assert subjects(found) == ([OTHER], [])
    found, failing = find_alert(failing, [], {DAY: at(3)})
    assert subjects(found) == ([], [DAY])
    assert failing == {OTHER: at(2)}


def test_a_failure_that_recovered_before_the_next_tick_is_not_reported() -> None:
    assert find_alert({}, [failed(DAY, 1)], {DAY: at(2)}) == (Alert(), {})


def test_a_success_without_a_failure_is_not_reported() -> None:
    assert find_alert({}, [], {"job refresh": at(1)}) == (Alert(), {})


EVENT = st.tuples(st.sampled_from("abc"), st.booleans())


@given(st.lists(st.lists(EVENT, max_size=5), max_size=6))
def test_all_reports_together_give_the_current_state(ticks: list[list[tuple[str, bool]]]) -> None:
    minutes = list(accumulate((len(tick) for tick in ticks), initial=0))
    failing: dict[str, datetime] = {}
    reported: set[str] = set()
    works_now: dict[str, bool] = {}
    for first_minute, tick in zip(minutes, ticks, strict=False):
        failures, worked = [], {}
        for minute, (subject, works) in enumerate(tick, first_minute):
            works_now[subject] = works
            if works:
                worked[subject] = at(minute)
            else:
                failures.append(failed(subject, minute))
        found, failing = find_alert(failing, failures, worked)
        new, recovered = subjects(found)
        assert reported.isdisjoint(new)
        assert reported >= set(recovered)
        reported = (reported | set(new)) - set(recovered)
        assert reported == {subject for subject, works in works_now.items() if not works}


def lines(*failures: Failure, recovered: Sequence[str] = ()) -> list[str]:
    return message(Alert(failures, tuple(recovered))).splitlines()


def test_days_with_the_same_run_and_reason_share_a_line() -> None:
    assert lines(failed(OTHER, 1), failed(DAY, 1), failed("topo/x", 1, reason="No."), recovered=["job y"]) == [
        "topo_pipeline",
        f"Failed: {DAY}, {OTHER} (run 1f2e3d4c): 1 missing",
        "Failed: topo/x (run 1f2e3d4c): No.",
        "Recovered: job y",
    ]


def test_a_failure_without_a_run_names_no_run() -> None:
    assert lines(failed("check t:c", 1, run=None))[1:] == ["Failed: check t:c: 1 missing"]


def test_a_year_of_refused_days_is_a_short_message() -> None:
    days = [failed(str(START.date() + timedelta(days=n)), 1) for n in range(365)]
    [_, line] = lines(*days)
    assert line.count("2026-") == 6
    assert "and 359 more (run" in line
    reasons = lines(*(failed(day.subject, 1, reason=f"reason {n} " + "x" * 5000) for n, day in enumerate(days)))
    assert len(reasons) == 22
    assert reasons[-1].startswith("… and 345 more reasons")
    assert max(map(len, reasons)) < 700


def test_a_reason_stays_on_one_line() -> None:
    [_, line] = lines(failed("t", 1, reason="a\nb"))
    assert line == "Failed: t (run 1f2e3d4c): a b"


STATE = AlertState(START, {DAY: at(1)})
DEFAULT = AlertState(at(99))


def test_a_state_survives_its_cursor() -> None:
    assert read_cursor(write_cursor(STATE), DEFAULT) == STATE


@pytest.mark.parametrize(
    "cursor",
    [None, "", "12", "null", "{}", "\x00", '{"until": "yesterday"}', '{"until": "2026-03-20T01:15:00"}', "{" * 9999],
)
def test_an_unknown_cursor_is_the_default_state(cursor: str | None) -> None:
    assert read_cursor(cursor, DEFAULT) == DEFAULT


def test_the_cursor_of_a_year_of_failed_days_is_small() -> None:
    days = {str(START.date() + timedelta(days=n)): START for n in range(365)}
    assert len(write_cursor(AlertState(START, days))) < 20_000
