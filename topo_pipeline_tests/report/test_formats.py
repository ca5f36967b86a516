"""How the report writes days and names."""

from datetime import date

import pytest

from topo_pipeline.report import formats


@pytest.mark.parametrize(
    ("monday", "said"),
    [
        (date(2026, 10, 12), "12–18 October 2026"),
        (date(2026, 9, 28), "28 September – 4 October 2026"),
        (date(2026, 12, 28), "28 December 2026 – 3 January 2027"),
    ],
)
def test_a_week_is_named_by_its_days(monday: date, said: str) -> None:
    assert formats.week(monday) == said


def test_a_single_day_is_no_period() -> None:
    assert formats.days(date(2026, 3, 1), date(2026, 3, 1)) == "1 March 2026"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Outbound", "Outbound"),
        ("two\nlines\tand\x07a bell\u2028end", "two lines and a bell end"),
        (" \n ", "an id"),
        (None, "an id"),
        ("\u202eright to left", "right to left"),
        ("x" * 10_000, "x" * 119 + "…"),
        ("👨\u200d👩\u200d👧 family", "👨\u200d👩\u200d👧 family"),
    ],
)
def test_a_sequence_label_is_its_name_on_one_line_or_its_id(name: str | None, label: str) -> None:
    assert formats.labels({"an id": name}) == {"an id": label}


def test_equal_names_are_followed_by_the_start_of_their_ids() -> None:
    assert formats.labels({"aaaaaaaa-1": "Twin", "bbbbbbbb-2": "Twin", "cccccccc-3": "Other"}) == {
        "aaaaaaaa-1": "Twin (aaaaaaaa)", "bbbbbbbb-2": "Twin (bbbbbbbb)", "cccccccc-3": "Other",
    }  # fmt: skip
