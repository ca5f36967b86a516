"""Numbers, days and names as people read them."""

import math
from datetime import date, timedelta
from typing import TYPE_CHECKING

from topo_pipeline.common.text import LONGEST, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

EVIDENCE = {
    "usable": "Usable",
    "directional": "Directional",
    "too_small": "Too few to tell",
    "none": "Not known yet",
}
_MINUS = "\N{MINUS SIGN}"


def known(value: float | None) -> bool:
    """Whether there is a number."""
    return value is not None and not math.isnan(value)


def percent(share: float | None) -> str:
    """A share: `6.3%`; a dash where it is not known."""
    return f"{100 * share:.1f}%" if share is not None and known(share) else "–"


def between(low: float | None, high: float | None) -> str:
    """An interval of shares: `3.8–10.3%`; nothing where it is not known."""
    if low is None or high is None or not (known(low) and known(high)):
        return ""
    return f"{100 * low:.1f}–{100 * high:.1f}%"


def points(difference: float) -> str:
    """A difference of shares, signed, in percentage points: `+0.9`."""
    rounded = f"{100 * abs(difference):.1f}"
    return rounded if float(rounded) == 0 else f"{'+' if difference > 0 else _MINUS}{rounded}"


def count(number: float) -> str:
    """A whole number: `12,387`."""
    return f"{int(number):,}"


def many(number: int, one: str, more: str | None = None) -> str:
    """So many of something: `1 day`, `12 days`."""
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"


def day(value: date) -> str:
    """A day: `18 October 2026`."""
    return f"{value.day} {value:%B} {value.year}"


def short_day(value: date) -> str:
    """A day of which the year is plain: `Sun 18 Oct`."""
    return f"{value:%a} {value.day} {value:%b}"


def week(monday: date) -> str:
    """A week by its first and last day: `12–18 October 2026`."""
    sunday = monday + timedelta(days=6)
    if monday.month == sunday.month:
        return f"{monday.day}–{day(sunday)}"
    year = "" if monday.year == sunday.year else f" {monday.year}"
    return f"{monday.day} {monday:%B}{year} – {day(sunday)}"


def short_week(monday: date) -> str:
    """A week of which the year is plain: `12–18 Oct`."""
    sunday = monday + timedelta(days=6)
    first = f"{monday.day}" if monday.month == sunday.month else f"{monday.day} {monday:%b} "
    return f"{first}–{'' if monday.month == sunday.month else ' '}{sunday.day} {sunday:%b}"


def listed(parts: "Iterable[str]") -> str:
    """Things in a row: `a, b and c`."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def label(name: str | None, sequence_id: str | None) -> str:
    """What a sequence is called, on one line: its name, else its id."""
    return one_line(name or "", LONGEST) or sequence_id or "(no sequence)"
