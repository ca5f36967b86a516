"""Days: in a row, and by when one is due."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta, tzinfo

_TOLD = 4  # stretches, or days with a count
# When the night's reading begins; before that, nobody has had to read yesterday.
NIGHT = time(1, 15)


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


def last_due_day(now: datetime, zone: tzinfo) -> date:
    """The last day that has to be there: yesterday, or until the night's reading the day before it."""
    local = now.astimezone(zone)
    return local.date() - timedelta(days=1 if local.time() >= NIGHT else 2)


def in_words(days: Iterable[date]) -> str:
    """Days as a person reads them: stretches, the latest first, and of many the latest alone."""
    stretches = [
        str(stretch[0]) if len(stretch) == 1 else f"{stretch[0]} to {stretch[-1]}" for stretch in contiguous(days)
    ][::-1]
    return ", ".join(stretches[:_TOLD]) + (", and earlier ones" if len(stretches) > _TOLD else "")


def counts_in_words(counts: Mapping[date, int]) -> str:
    """Return days with a count each as a person reads them, the latest first, and of many the latest alone."""
    told = [f"{day} ({counts[day]:,})" for day in sorted(counts, reverse=True)]
    return ", ".join(told[:_TOLD]) + (", and earlier ones" if len(told) > _TOLD else "")
