"""How the report writes numbers, days, lists and names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from topo_pipeline.common.text import LONGEST, counted, interval, one_line
from topo_pipeline.engagement.sentences import day


def count(number: float) -> str:
    """Return a whole number: `12,387`."""
    return f"{int(number):,}"


def short_day(value: date) -> str:
    """Return a day without its year: `Sun 18 Oct`."""
    return f"{value:%a} {value.day} {value:%b}"


def days(first: date, last: date) -> str:
    """Return the first and last day of a period: `12–18 October 2026`."""
    if first == last:
        return day(last)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{day(last)}"
    return f"{first.day} {first:%B}{'' if first.year == last.year else f' {first.year}'} – {day(last)}"


def week(monday: date) -> str:
    """Return the first and last day of a week."""
    return days(monday, monday + timedelta(days=6))


def listed(parts: Sequence[str], most: int = 5) -> str:
    """Return a list as text: `a, b and c`. Of more than `most`, the others are counted: `a, b and 3 others`."""
    *first, last = [*parts[:most], counted(len(parts) - most, "other")] if len(parts) > most else parts
    return f"{', '.join(first)} and {last}" if first else last


def labels(names: Mapping[str, str | None]) -> dict[str, str]:
    """Return the label of each sequence by its id: its name on one line, else the id.

    A name that several have is followed by the start of the id.
    """
    found = {id_: one_line(name or "", LONGEST) or id_ for id_, name in names.items()}
    uses = Counter(found.values())
    return {id_: f"{name} ({id_[:8]})" if uses[name] > 1 else name for id_, name in found.items()}


def isolated(name: str) -> str:
    """Return the name so that one written from right to left doesn't reorder the sentence around it."""
    return f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}"


def range_of(low: float | None, high: float | None) -> str:
    """Return a range: `3.8–10.3%`."""
    return f"{interval(low, high)[1:-1]}%" if low is not None else ""
