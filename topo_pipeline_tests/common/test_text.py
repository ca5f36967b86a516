"""Text from outside is made safe before it is shown."""

import json
import math
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topo_pipeline.common.text import (
    counted,
    first_line,
    in_chat,
    in_json,
    interval,
    noun_for,
    one_line,
    percent,
    points,
    rate_with_interval,
)

# Characters that can affect a terminal, a log or text direction. Joiners are part of words and emoji.
UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
ALLOWED = {"\u200c", "\u200d", *map(chr, range(0xE0020, 0xE0080))}


def unsafe_in(text: str) -> set[str]:
    return {character for character in text if unicodedata.category(character) in UNSAFE} - ALLOWED


@settings(max_examples=40)
@given(st.text(), st.integers(2, 50))
def test_one_line_is_short_and_has_no_unsafe_characters(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert unsafe_in(line) == set()
    assert len(line) <= limit
    assert line == " ".join(line.split())


def test_one_line_keeps_readable_text() -> None:
    assert one_line("a\r\n\tb\x1b[31m\x9b1m\x00\u202e\ud800c") == "a b [31m 1m c"
    assert one_line("x" * 301) == "x" * 299 + "…"
    assert one_line("Zusammen\u00adarbeit") == "Zusammenarbeit"
    flag = "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in "gbeng") + "\U000e007f"
    newer_than_python_knows, private = "\U0001fabf", "\ue000"
    assert one_line(flag + newer_than_python_knows + private) == flag + newer_than_python_knows + private
    assert one_line("\u200d") == ""
    assert (
        one_line("שלום 👨\u200d👩\u200d👧 نمی\u200cخواهم été 東京") == "שלום 👨\u200d👩\u200d👧 نمی\u200cخواهم été 東京"
    )


@settings(max_examples=40)
@given(st.text() | st.lists(st.text()) | st.dictionaries(st.text(), st.text()))
def test_in_json_keeps_the_value_without_unsafe_characters(value: object) -> None:
    shown = in_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(shown) == value
    assert unsafe_in(shown) <= {"\n"}


@pytest.mark.parametrize(
    "text",
    [
        "<!channel> now",
        "@channel @here @everyone",
        "[your invoice](https://evil.example)",
        "<https://evil.example|here>",
    ],
)
def test_a_chat_message_mentions_nobody_and_hides_no_address(text: str) -> None:
    shown = in_chat(text)
    assert not set("<>") & set(shown)
    assert "](" not in shown
    assert not any(word in shown for word in ("@channel", "@here", "@everyone"))


def test_counted_uses_the_singular_or_plural() -> None:
    assert [counted(n, "day") for n in (0, 1, 1_200)] == ["0 days", "1 day", "1,200 days"]
    assert [counted(n, "reply", "replies") for n in (1, 2)] == ["1 reply", "2 replies"]
    assert [noun_for(n, "day") for n in (1, 2)] == ["day", "days"]


@pytest.mark.parametrize(("text", "line"), [("\n one \r\nand more", "one"), ("", ""), ("a fault", "a fault")])
def test_first_line_returns_the_first_line_of_an_error(text: str, line: str) -> None:
    assert first_line(ValueError(text)).rstrip() == first_line(text).rstrip() == line


@pytest.mark.parametrize(
    ("rate", "low", "high", "shown"),
    [
        (0.063, 0.038, 0.103, "6.3% (3.8–10.3)"),
        (0.0, 0.0, 0.114, "0.0% (0.0–11.4)"),
        (1.0, 0.886, 1.0, "100.0% (88.6–100.0)"),
        (math.nan, math.nan, math.nan, "–"),
    ],
)
def test_a_rate_is_shown_with_its_interval(rate: float, low: float, high: float, shown: str) -> None:
    assert rate_with_interval(rate, low, high) == shown


def test_an_unknown_share_is_a_dash_and_unknown_bounds_are_nothing() -> None:
    assert [percent(None), percent(math.nan), percent(0.0)] == ["–", "–", "0.0%"]
    assert [interval(None, None), interval(math.nan, math.nan), interval(0.0, 0.114)] == ["", "", "(0.0–11.4)"]
    assert rate_with_interval(None, None, None) == "–"


@pytest.mark.parametrize(
    ("difference", "said"), [(0.0093, "+0.9"), (-0.0273, "−2.7"), (0.0004, "0.0"), (-0.0004, "0.0"), (None, "–")]
)
def test_a_difference_is_signed_unless_it_rounds_to_zero(difference: float | None, said: str) -> None:
    assert points(difference) == said
