"""Sensor states are read from cursors. An unreadable cursor is an empty state."""

from datetime import UTC, date, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topo_pipeline.automation import drift, news
from topo_pipeline.common.cursors import read_cursor, write_cursor

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
STATES = [news.NewsState(NOW, date(2026, 3, 20), 7), drift.DriftState({date(2026, 3, 1): drift.Comparison(NOW, 3)})]


@pytest.mark.parametrize("state", STATES, ids=["news", "drift"])
def test_a_state_survives_its_cursor(state: msgspec.Struct) -> None:
    assert read_cursor(write_cursor(state), type(state)()) == state


@pytest.mark.parametrize(
    "text",
    [
        None, "", "{", "null", "[]", "17", '"2026-03-20"', "2026-03-20T12:00:00", '{"at":"2026-03-20T12:00:00"}',
        '{"looks":{"soon":{}}}', '{"looks":{"2026-03-01":{"at":"2026-03-20T12:00:00"}}}', '{"looks":[]}', '{"at":5}',
        '{"tried":"many"}', "\ud800", "[" * 100_000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [news.NewsState, drift.DriftState])
def test_an_unknown_cursor_is_an_empty_state(kind: type[msgspec.Struct], text: str | None) -> None:
    assert read_cursor(text, kind()) == kind()


@settings(max_examples=60)
@given(st.text(), st.sampled_from(STATES), st.integers(0, 60))
def test_no_cursor_raises_an_error(junk: str, state: msgspec.Struct, at: int) -> None:
    text = write_cursor(state)
    for cursor in (junk, text[:at] + junk + text[at + 1 :]):
        read_cursor(cursor, type(state)())
