"""Reporting days as partitions. Take a day's window from here, not from its key: a day has 23 to 25 hours."""

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from topo_pipeline.settings import get_settings

if TYPE_CHECKING:
    from topo_pipeline.days import Day

_settings = get_settings()
FIRST_DAY = _settings.start_date

# Tags of a run that reads several days. Dagster plans and shows each of them.
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"

# end_offset: today is a partition too, and is read up to now.
daily = dg.DailyPartitionsDefinition(
    start_date=datetime.combine(FIRST_DAY, time.min, _settings.zone),
    timezone=_settings.timezone,
    end_offset=1,
)


def day_of(partition_key: str, partitions_def: dg.DailyPartitionsDefinition = daily) -> "Day":
    """Return the reporting day of a partition, with its window."""
    from topo_pipeline.days import Day, Window

    window = partitions_def.time_window_for_partition_key(partition_key)
    return Day(window.start.date(), Window(window.start, window.end))


def date_at(moment: datetime) -> date:
    """Return the reporting day that contains an instant."""
    return moment.astimezone(_settings.zone).date()


def days_before(now: datetime, count: int) -> "list[Day]":
    """Return the last `count` complete days before `now` that have partitions, in order."""
    days = (date_at(now) - timedelta(days=ago) for ago in range(count, 0, -1))
    return [day_of(key_of(day)) for day in days if day >= FIRST_DAY]


def key_of(day: date) -> str:
    """Return the partition key of a reporting day."""
    return day.strftime(daily.fmt)


def range_tags(first: date, last: date) -> dict[str, str]:
    """Return the tags of a run over the days from `first` to `last`, both included."""
    return {RANGE_START: key_of(first), RANGE_END: key_of(last)}
