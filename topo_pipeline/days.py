"""Ranges of days, and which day is due."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta, tzinfo

_SHOWN = 4  # stretches, or days with a count
# When the nightly run starts, in local time. Yesterday is not due before that.
NIGHT = time(1, 15)


def contiguous(days: Iterable[date]) -> Iterator[list[date]]:
    """Split days into stretches without gaps, in order."""
    stretch: list[date] = []
    for day in sorted(days):
        if stretch and day != stretch[-1] + timedelta(days=1):
            yield stretch
            stretch = []
        stretch.append(day)
    if stretch:
        yield stretch


def days_between(first: date, last: date) -> list[date]:
    """Return the days from `first` to `last`, both included; none if `last` is earlier."""
    return [first + timedelta(days=ahead) for ahead in range((last - first).days + 1)]


def last_due_day(now: datetime, zone: tzinfo) -> date:
    """Return the last day that should have landed: yesterday, or the day before it until the nightly run starts."""
    local = now.astimezone(zone)
    return local.date() - timedelta(days=1 if local.time() >= NIGHT else 2)


def format_days(days: Iterable[date]) -> str:
    """Return days as text: stretches, latest first, and only the latest if there are many."""
    stretches = [
        str(stretch[0]) if len(stretch) == 1 else f"{stretch[0]} to {stretch[-1]}" for stretch in contiguous(days)
    ][::-1]
    return ", ".join(stretches[:_SHOWN]) + (", and earlier ones" if len(stretches) > _SHOWN else "")


def format_counts(counts: Mapping[date, int]) -> str:
    """Return days and their counts as text, latest first, and only the latest if there are many."""
    items = [f"{day} ({counts[day]:,})" for day in sorted(counts, reverse=True)]
    return ", ".join(items[:_SHOWN]) + (", and earlier ones" if len(items) > _SHOWN else "")
