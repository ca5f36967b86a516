"""The look at the replies of the last weeks, and the days that are read again for it."""

import dagster as dg
from pydantic import Field

from topo_pipeline.defs.checks import tell_of_activities
from topo_pipeline.defs.failures import one_sentence
from topo_pipeline.defs.ingest import land
from topo_pipeline.defs.partitions import days_before
from topo_pipeline.defs.resources import Clock, Topo, Warehouse

# A run's reply counts for 30 days after its first message, and its category may come some days later.
REPLY_DAYS = 35


class Look(dg.Config):
    """How far back to look."""

    days: int = Field(default=REPLY_DAYS, ge=1, le=366, description="Days that are over, counted back from today.")


@dg.op(pool="topo_api", out=dg.Out(dg.Nothing))
def reread_days_with_other_replies(
    context: dg.OpExecutionContext,
    config: Look,
    topo: dg.ResourceParam[Topo],
    warehouse: dg.ResourceParam[Warehouse],
    clock: dg.ResourceParam[Clock],
) -> None:
    """Read the replies of the last weeks as one window, compare, and read each landed day that differs whole."""
    from topo_pipeline.replies import days_with_other_replies

    days = days_before(clock(), config.days)
    with one_sentence():
        differ = days_with_other_replies(
            topo.client,
            warehouse,
            days,
            clock=clock,
            timezone=topo.settings.timezone,
            completeness=topo.settings.completeness,
        )
        context.log.info(
            f"The replies of {len(differ)} of the last {len(days)} days are other than what is landed"
            + (f": {', '.join(str(day.day) for day in differ)}" if differ else "")
        )
        for _ in land(context, differ, topo, warehouse, clock):
            pass
        if differ:
            tell_of_activities(context, warehouse, clock)
