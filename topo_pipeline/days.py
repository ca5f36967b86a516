"""Reporting days and their windows: plain data that every room may import."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import islice

from topo_pipeline.common.text import counted

Clock = Callable[[], datetime]
"""Returns now, with a time zone."""
SETTLING = timedelta(minutes=2)
"""Newer rows may not be visible on every page yet."""
OVERLAP = timedelta(seconds=1)
"""Requested before each start, because Topo's bounds are exclusive and it promises no precision."""
Bounds = tuple[datetime, datetime]
"""Two instants, both exclusive."""
CLOSING_TIME = timedelta(minutes=5)
"""A load that starts sooner after the day's end may miss activities that Topo is still recording."""

_SHOWN = 4  # stretches, or days with a count
_MAX_COMMANDS = 5
# When the nightly run starts, in local time. Yesterday is not due before that.
NIGHT = time(1, 15)


def to_utc(moment: datetime) -> datetime:
    """Return the same instant in UTC.

    Raises:
        ValueError: `moment` has no time zone.
    """
    if moment.utcoffset() is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return moment.astimezone(UTC)


def utc_text(moment: datetime) -> str:
    """Return an instant as ISO 8601 text in UTC with Z."""
    return to_utc(moment).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class Window:
    """Half-open: [start, end). Both bounds are converted to UTC.

    Raises:
        ValueError: a bound has no time zone, or the end is before the start.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        # In UTC, because arithmetic on local times is wrong where clocks change.
        object.__setattr__(self, "start", to_utc(self.start))
        object.__setattr__(self, "end", to_utc(self.end))
        if self.end < self.start:
            raise ValueError(f"a window can't end ({self.end}) before it starts ({self.start})")

    def readable(self, now: datetime) -> "Window":
        """Return the part that can be read at `now`, which ends two minutes earlier. It may be empty."""
        return replace(self, end=max(self.start, min(self.end, to_utc(now) - SETTLING)))

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


@dataclass(frozen=True)
class Day:
    """A reporting day and its window, as the partitions define them. 23 to 25 hours where clocks change."""

    day: date
    window: Window


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


def last_stretch(days: Iterable[date]) -> list[date]:
    """Return the last days without a gap; none if there are no days."""
    return [[], *contiguous(days)][-1]


def days_between(first: date, last: date) -> list[date]:
    """Return the days from `first` to `last`, both included; none if `last` is earlier."""
    return [first + timedelta(days=ahead) for ahead in range((last - first).days + 1)]


def last_due_day(now: datetime, zone: tzinfo) -> date:
    """Return the last day that should have landed: yesterday, or the day before it until the nightly run starts."""
    local = now.astimezone(zone)
    return local.date() - timedelta(days=1 if local.time() >= NIGHT else 2)


def backfill_commands(days: Iterable[date]) -> list[str]:
    """Return the commands that read these days, one per stretch, at most five."""
    stretches = islice(contiguous(days), _MAX_COMMANDS)
    return [f"topo-pipeline backfill {' '.join(map(str, dict.fromkeys((days[0], days[-1]))))}" for days in stretches]


def missing_command(days: Iterable[date]) -> str:
    """Return the command that reads days that have not landed since they ended."""
    ordered = sorted(days)
    around = days_between(ordered[0], ordered[-1])
    [command] = backfill_commands(around)
    return command if ordered == around else f"{command} --missing"


def format_days(days: Iterable[date]) -> str:
    """Return days as text: the first stretches without gaps in date order, and the number of days that follow."""
    stretches = list(contiguous(days))
    shown = [
        str(stretch[0]) if len(stretch) == 1 else f"{stretch[0]} to {stretch[-1]}" for stretch in stretches[:_SHOWN]
    ]
    return _listed(shown, more=sum(map(len, stretches[_SHOWN:])))


def format_counts(counts: Mapping[date, int]) -> str:
    """Return days with their counts as text: the first ones in date order, and the number of days that follow."""
    days = sorted(counts)
    return _listed([f"{day} ({counts[day]:,})" for day in days[:_SHOWN]], more=len(days[_SHOWN:]))


def _listed(shown: list[str], more: int) -> str:
    return ", ".join(shown) + (f" and {counted(more, 'more day')}" if more else "")
