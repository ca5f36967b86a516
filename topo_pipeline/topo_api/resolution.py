"""The resolution of Topo's instants, and durations as text. Topo promises no resolution. Some APIs round to hours."""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta

FINEST = 1
"""Seconds. The margins of every window cover this resolution."""
_TWO_MINUTES = 120
COARSEST = 3600
"""Seconds. No coarser unit is expected. If times have no hour, the echo fails."""


def common_step(moments: Iterable[datetime], so_far: int = 0) -> int:
    """Return the largest number of seconds that these instants and those seen before are all multiples of.

    `so_far` is the step of the instants seen before. A step is 0 without any instant, and 1 also if an instant has
    fractions of a second.
    """
    for moment in moments:
        if so_far == FINEST:
            break
        so_far = FINEST if moment.microsecond else math.gcd(so_far, int(moment.timestamp()))
    return so_far


def unit_of(step: int) -> int:
    """Return the unit, in seconds, that instants with this step may have been rounded to."""
    return min(step, COARSEST) if step else COARSEST


def format_duration(time: timedelta) -> str:
    """Return a duration such as `1.5 s`, `5 min` or `2 h 30 min`."""
    seconds = round(time.total_seconds(), 1)
    if seconds < _TWO_MINUTES:
        return f"{seconds:g} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)
