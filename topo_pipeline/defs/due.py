"""When data is due: the last day that must have landed, and the freshness policy of the assets."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from topo_pipeline import days
from topo_pipeline.defs.partitions import daily

_ZONE = ZoneInfo(daily.timezone)

# By 06:00, the asset has been materialized since midnight. Dagster looks at the last materialization of any partition,
# so the checks verify that yesterday is among them.
EVERY_MORNING = dg.FreshnessPolicy.cron(
    deadline_cron="0 6 * * *", lower_bound_delta=timedelta(hours=6), timezone=daily.timezone
)


def last_due_day(now: datetime) -> date:
    """Return the last day that must have landed."""
    return days.last_due_day(now, _ZONE)
