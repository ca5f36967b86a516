"""Compare recent replies with the landed ones, and read the days that differ again."""

import dagster as dg
from pydantic import Field

from topo_pipeline.defs.checks import report_activity_checks
from topo_pipeline.defs.failures import as_dagster_failure
from topo_pipeline.defs.ingest import land
from topo_pipeline.defs.partitions import days_before
from topo_pipeline.defs.resources import Clock, Topo, Warehouse

# A sequence run's reply counts for 30 days after its first message, and its category may come some days later.
REPLY_DAYS = 35


class RereadConfig(dg.Config):
    """How many days to compare."""

    days: int = Field(default=REPLY_DAYS, ge=1, le=366, description="Complete days to compare, back from yesterday.")


@dg.op(pool="topo_api", out=dg.Out(dg.Nothing))
def reread_days_with_other_replies(
    context: dg.OpExecutionContext,
    config: RereadConfig,
    topo: dg.ResourceParam[Topo],
    warehouse: dg.ResourceParam[Warehouse],
    clock: dg.ResourceParam[Clock],
) -> None:
    """Read the replies of the last weeks as one window, compare, and read each landed day that differs in full."""
    from topo_pipeline.ingest.changed_replies import days_with_changed_replies

    days = days_before(clock(), config.days)
    with as_dagster_failure():
        differ = days_with_changed_replies(
            topo.client,
            warehouse,
            days,
            clock=clock,
            timezone=topo.settings.timezone,
            completeness=topo.settings.completeness,
        )
        context.log.info(
            f"Replies differ from the landed ones on {len(differ)} of the last {len(days)} days"
            + (f": {', '.join(str(day.day) for day in differ)}" if differ else "")
        )
        for _ in land(context, differ, topo, warehouse, clock):
            pass
        if differ:
            report_activity_checks(context, warehouse, clock)
