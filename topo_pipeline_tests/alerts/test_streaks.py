"""Which failures are news, and what is said of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topo_pipeline.alerts.streaks import Alert, AlertState, Failure, find_alert, message
from topo_pipeline.common.cursors import read_cursor, write_cursor

START = datetime(2026, 3, 20, 1, 15, tzinfo=UTC)
DAY, OTHER = "2026-03-05", "2026-03-06"


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def failed(subject: str, minute: int, run: str | None = "1f2e3d4c", reason: str = "1 missing") -> Failure:
    return Failure(subject, at(minute), run, reason)


def told(found: Alert) -> tuple[list[str], list[str]]:
    return [failure.subject for failure in found.failing], list(found.recovered)


def test_the_first_failure_of_a_streak_is_told_and_no_other() -> None:
    first, failing = find_alert({}, [failed(DAY, 1)], {})
    assert told(first) == ([DAY], [])
    again, failing = find_alert(failing, [failed(DAY, 2)], {})
    assert not again
    between, failing = find_alert(failing, [], {})
    assert not between
    assert failing == {DAY: at(2)}


def test_recovery_is_told_once_and_a_new_streak_then() -> None:
    _, failing = find_alert({}, [failed(DAY, 1)], {})
    recovery, failing = find_alert(failing, [], {DAY: at(5)})
    assert told(recovery) == ([], [DAY])
    assert not find_alert(failing, [], {DAY: at(5)})[0]
    relapse, _ = find_alert(failing, [failed(DAY, 6)], {DAY: at(5)})
    assert told(relapse) == ([DAY], [])


def test_a_success_before_the_last_failure_is_no_recovery() -> None:
    _, failing = find_alert({}, [failed(DAY, 1)], {})
    relapsed, failing = find_alert(failing, [failed(DAY, 3)], {DAY: at(2)})
    assert not relapsed
    assert not find_alert(failing, [], {DAY: at(2)})[0]
    assert not find_alert(failing, [], {DAY: at(3)})[0]


def test_each_day_is_a_streak_of_its_own() -> None:
    _, failing = find_alert({}, [failed(DAY, 1)], {})
    found, failing = find_alert(failing, [failed(DAY, 2), failed(OTHER, 2)], {})
    assert told(found) == ([OTHER], [])
    found, failing = find_alert(failing, [], {DAY: at(3)})
    assert told(found) == ([], [DAY])
    assert failing == {OTHER: at(2)}


def test_what_failed_and_was_healed_between_two_looks_is_not_told() -> None:
    assert find_alert({}, [failed(DAY, 1)], {DAY: at(2)}) == (Alert(), {})


def test_what_works_and_never_failed_is_not_told() -> None:
    assert find_alert({}, [], {"job refresh": at(1)}) == (Alert(), {})


STEP = st.tuples(st.sampled_from("abc"), st.booleans())


@settings(derandomize=True, max_examples=100)
@given(st.lists(st.lists(STEP, max_size=5), max_size=6))
def test_what_was_told_so_far_is_always_what_stands(looks: list[list[tuple[str, bool]]]) -> None:
    """Whatever happens between the looks, a person who read every message knows what fails now."""
    minutes = list(accumulate((len(look) for look in looks), initial=0))
    failing: dict[str, datetime] = {}
    believed: set[str] = set()
    stands: dict[str, bool] = {}
    for begun, look in zip(minutes, looks, strict=False):
        failures, worked = [], {}
        for minute, (subject, works) in enumerate(look, begun):
            stands[subject] = works
            if works:
                worked[subject] = at(minute)
            else:
                failures.append(failed(subject, minute))
        found, failing = find_alert(failing, failures, worked)
        began, ended = told(found)
        assert believed.isdisjoint(began)
        assert believed >= set(ended)
        believed = (believed | set(began)) - set(ended)
        assert believed == {subject for subject, works in stands.items() if not works}


def said(*failures: Failure, recovered: Sequence[str] = ()) -> list[str]:
    return message(Alert(failures, tuple(recovered))).splitlines()


def test_days_of_one_run_and_one_reason_are_one_line() -> None:
    assert said(failed(OTHER, 1), failed(DAY, 1), failed("topo/x", 1, reason="No."), recovered=["job y"]) == [
        "topo_pipeline",
        f"Failed: {DAY}, {OTHER} (run 1f2e3d4c): 1 missing",
        "Failed: topo/x (run 1f2e3d4c): No.",
        "Recovered: job y",
    ]


def test_a_failure_outside_of_runs_names_none() -> None:
    assert said(failed("check t:c", 1, run=None))[1:] == ["Failed: check t:c: 1 missing"]


def test_a_year_of_refused_days_is_a_short_message() -> None:
    days = [failed(str(START.date() + timedelta(days=n)), 1) for n in range(365)]
    [_, line] = said(*days)
    assert line.count("2026-") == 6
    assert "and 359 more (run" in line
    reasons = said(*(failed(day.subject, 1, reason=f"reason {n} " + "x" * 5000) for n, day in enumerate(days)))
    assert len(reasons) == 22
    assert reasons[-1].startswith("… and 345 more reasons")
    assert max(map(len, reasons)) < 700


def test_the_words_of_others_stay_on_their_line_and_call_nobody() -> None:
    [_, line] = said(failed("t", 1, reason="a\nb <!channel>"))
    assert line == "Failed: t (run 1f2e3d4c): a b ‹!channel›"


STATE = AlertState(START, {DAY: at(1)})
DEFAULT = AlertState(at(99))


def test_a_cursor_holds_the_memory() -> None:
    assert read_cursor(write_cursor(STATE), DEFAULT) == STATE


@pytest.mark.parametrize(
    "cursor",
    [None, "", "12", "null", "{}", "\x00", '{"until": "yesterday"}', '{"until": "2026-03-20T01:15:00"}', "{" * 9999],
)
def test_a_cursor_of_another_making_is_none(cursor: str | None) -> None:
    assert read_cursor(cursor, DEFAULT) == DEFAULT


def test_a_cursor_stays_small_where_a_year_of_days_fails() -> None:
    days = {str(START.date() + timedelta(days=n)): START for n in range(365)}
    assert len(write_cursor(AlertState(START, days))) < 20_000
