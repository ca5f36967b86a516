"""Days in a row."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta


def contiguous(days: Iterable[date]) -> Iterator[list[date]]:
    """Split days into stretches without a gap, in order."""
    stretch: list[date] = []
    for day in sorted(days):
        if stretch and day != stretch[-1] + timedelta(days=1):
            yield stretch
            stretch = []
        stretch.append(day)
    if stretch:
        yield stretch


def days_between(first: date, last: date) -> list[date]:
    """The days from `first` to `last`, both included; none where `last` is earlier."""
    return [first + timedelta(days=ahead) for ahead in range((last - first).days + 1)]
