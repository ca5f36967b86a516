"""The reporting days as partitions, and when their data is due.

A partition's key is the ISO date of its day. Take the date from the key, but the day's window from the partitions
definition: a day has 23 to 25 hours. Nothing here depends on settings until it is called with them.
"""

from datetime import date, datetime, time, timedelta
from functools import cache

import dagster as dg

from topo_pipeline.days import Day, Window
from topo_pipeline.settings import Settings

# Tags of a run that reads several days. Dagster plans and shows each of them.
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


def daily_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """Return the days since `TOPO_START_DATE`. Today is one of them (`end_offset`), and is read up to now."""
    start = datetime.combine(settings.start_date, time.min, settings.zone)
    return dg.DailyPartitionsDefinition(start_date=start, timezone=settings.timezone, end_offset=1)


@cache  # Dagster computes a thousand deadlines for each new policy, which is half the time of building the definitions
def every_morning(timezone: str) -> dg.FreshnessPolicy:
    """Return the freshness policy of the assets: by 06:00, they have been materialized since midnight.

    Dagster looks at the last materialization of any partition, so the checks verify that yesterday is among them.
    """
    return dg.FreshnessPolicy.cron(deadline_cron="0 6 * * *", lower_bound_delta=timedelta(hours=6), timezone=timezone)


def day_of(partition_key: str, daily: dg.DailyPartitionsDefinition) -> Day:
    """Return the reporting day of a partition, with its window."""
    window = daily.time_window_for_partition_key(partition_key)
    return Day(window.start.date(), Window(window.start, window.end))


def date_at(moment: datetime, settings: Settings) -> date:
    """Return the reporting day that contains an instant."""
    return moment.astimezone(settings.zone).date()


def days_before(now: datetime, count: int, settings: Settings) -> list[Day]:
    """Return the last `count` complete days before `now` that have partitions, in order."""
    daily, today = daily_partitions(settings), date_at(now, settings)
    days = (today - timedelta(days=ago) for ago in range(count, 0, -1))
    return [day_of(str(day), daily) for day in days if day >= settings.start_date]


def range_tags(first: date, last: date) -> dict[str, str]:
    """Return the tags of a run over the days from `first` to `last`, both included."""
    return {RANGE_START: str(first), RANGE_END: str(last)}
