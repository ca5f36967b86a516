"""Find the resolution of Topo's instants. Topo promises none, and some APIs round to minutes or hours.

Also format durations for messages.
"""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta

FINEST = 1
"""Seconds. The margins of every window cover this resolution."""
_TWO_MINUTES = 120
COARSEST = 3600
"""Seconds. No coarser unit is expected. If times have no hour, the echo fails."""


def common_step(moments: Iterable[datetime], so_far: int = 0) -> int:
    """Return the largest number of seconds that these instants are all multiples of.

    Args:
        moments: Instants in UTC.
        so_far: The step of instants seen before. 0 if there were none.

    Returns:
        0 without any instant. 1 also if they have fractions of a second.
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
