"""When data is due: by when a day has to be there, and by when an asset has to have been made again."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from topo_pipeline import days
from topo_pipeline.defs.partitions import daily

_ZONE = ZoneInfo(daily.timezone)

# By six in the morning, something has been made since midnight. Dagster looks at the last materialisation of any day:
# whether yesterday is among them is for the checks.
EVERY_MORNING = dg.FreshnessPolicy.cron(
    deadline_cron="0 6 * * *", lower_bound_delta=timedelta(hours=6), timezone=daily.timezone
)


def last_due_day(now: datetime) -> date:
    """The last day that has to be there."""
    return days.last_due_day(now, _ZONE)
