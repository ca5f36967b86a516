"""The day as a partition. Windows come from here, never from parsing a key: a day has 23 to 25 hours."""

from datetime import date, datetime, time, timedelta

import dagster as dg

from topo_pipeline.ingest import Day
from topo_pipeline.settings import get_settings
from topo_pipeline.topo_api.reading import Window

_settings = get_settings()

# end_offset: today is a partition too, read as far as it has come.
daily = dg.DailyPartitionsDefinition(
    start_date=datetime.combine(_settings.start_date, time.min, _settings.zone),
    timezone=_settings.timezone,
    end_offset=1,
)


def day_of(partition_key: str, partitions_def: dg.DailyPartitionsDefinition = daily) -> Day:
    """The reporting day that a partition stands for, with its window."""
    window = partitions_def.time_window_for_partition_key(partition_key)
    return Day(window.start.date(), Window(window.start, window.end))


def days_before(now: datetime, count: int) -> list[Day]:
    """The last `count` days that are over at `now`, as far as there are partitions for them, in order."""
    today = now.astimezone(_settings.zone).date()
    days = (today - timedelta(days=ago) for ago in range(count, 0, -1))
    return [day_of(key_of(day)) for day in days if day >= _settings.start_date]


def key_of(day: date) -> str:
    """The partition key of a reporting day."""
    return day.strftime(daily.fmt)
