"""The report's formats of numbers, days and names. `common.text` has the formats that the command line uses too."""

from datetime import date, timedelta
from typing import TYPE_CHECKING

from topo_pipeline.common.text import LONGEST, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

EVIDENCE = {
    "usable": "Solid",
    "directional": "Rough",
    "too_small": "Too few",
    "none": "Too recent",
}
_MINUS = "\N{MINUS SIGN}"


def points(difference: float) -> str:
    """Return a difference of shares with its sign, in percentage points: `+0.9`."""
    rounded = f"{100 * abs(difference):.1f}"
    return rounded if float(rounded) == 0 else f"{'+' if difference > 0 else _MINUS}{rounded}"


def count(number: float) -> str:
    """Return a whole number: `12,387`."""
    return f"{int(number):,}"


def day(value: date) -> str:
    """Return a day: `18 October 2026`."""
    return f"{value.day} {value:%B} {value.year}"


def short_day(value: date) -> str:
    """Return a day without its year: `Sun 18 Oct`."""
    return f"{value:%a} {value.day} {value:%b}"


def week(monday: date) -> str:
    """Return the first and last day of a week: `12–18 October 2026`."""
    sunday = monday + timedelta(days=6)
    if monday.month == sunday.month:
        return f"{monday.day}–{day(sunday)}"
    year = "" if monday.year == sunday.year else f" {monday.year}"
    return f"{monday.day} {monday:%B}{year} – {day(sunday)}"


def short_week(monday: date) -> str:
    """Return the first and last day of a week without the year: `12–18 Oct`."""
    sunday = monday + timedelta(days=6)
    first = f"{monday.day}" if monday.month == sunday.month else f"{monday.day} {monday:%b} "
    return f"{first}–{'' if monday.month == sunday.month else ' '}{sunday.day} {sunday:%b}"


def listed(parts: "Iterable[str]") -> str:
    """Return a list as text: `a, b and c`."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def label(name: str | None, sequence_id: str) -> str:
    """Return the name of a sequence on one line, else its id."""
    return one_line(name or "", LONGEST) or sequence_id
