"""Decide which days the nightly refresh reads: the last few, which may have changed, and the missing ones."""

from collections.abc import Collection, Mapping
from datetime import date, timedelta

from topo_pipeline.automation.facts import LastLoad, RunInProgress
from topo_pipeline.days import days_between


def days_to_read(
    *,
    today: date,
    start: date,
    lookback: int,
    loads: Mapping[date, LastLoad | None],
    failed: Collection[date],
    lost: Collection[date],
    in_progress: Collection[RunInProgress],
) -> list[date]:
    """Return yesterday, the `lookback` days before it, and the open, failed, lost and missing days since the first one.

    Args:
        today: The reporting day of the tick.
        start: The day of the first partition.
        lookback: Number of days before yesterday to read again.
        loads: The last load of each landed day; None if it is unknown.
        failed: Days whose last read failed. Each nightly refresh tries them once.
        lost: Days that landed but are no longer in the warehouse.
        in_progress: Runs that have not ended. Days that one of them will close are skipped.
    """
    yesterday = today - timedelta(days=1)
    again = days_between(yesterday - timedelta(days=lookback), yesterday)
    since_first = days_between(min(loads, default=today), yesterday)
    gaps = (day for day in since_first if day in failed or day in lost or not _is_closed(loads.get(day)))
    return [day for day in sorted({*again, *gaps}) if day >= start and not any(run.closes(day) for run in in_progress)]


def _is_closed(load: LastLoad | None) -> bool:
    return load is not None and not load.is_open
