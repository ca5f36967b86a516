"""Which days a night reads: the last ones, since they may have changed, and the holes."""

from collections.abc import Collection, Mapping
from datetime import date, timedelta

from topo_pipeline.automation.facts import LastLoad, UnderWay
from topo_pipeline.days import days_between


def days_to_read(
    *,
    today: date,
    start: date,
    lookback: int,
    loads: Mapping[date, LastLoad | None],
    failed: Collection[date],
    lost: Collection[date],
    under_way: Collection[UnderWay],
) -> list[date]:
    """Yesterday and `lookback` days more; from the first landed day on, all that is not landed as a closed day.

    Args:
        today: The reporting day of the tick.
        start: The first day there is a partition for.
        lookback: Days before yesterday that are read again.
        loads: The last load of each landed day; None where nothing is told of it.
        failed: Days whose last reading failed: each night tries them once.
        lost: Days that landed and are not in the warehouse any more.
        under_way: A day that one of these runs will close is left to it.
    """
    yesterday = today - timedelta(days=1)
    again = days_between(yesterday - timedelta(days=lookback), yesterday)
    since_first = days_between(min(loads, default=today), yesterday)
    holes = (day for day in since_first if day in failed or day in lost or not _is_closed(loads.get(day)))
    return [day for day in sorted({*again, *holes}) if day >= start and not any(run.closes(day) for run in under_way)]


def _is_closed(load: LastLoad | None) -> bool:
    return load is not None and not load.is_open
