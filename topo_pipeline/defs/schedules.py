"""Schedules: what happens by the clock of the reporting zone. By hand, since one from the job would read today."""

from typing import Any

import dagster as dg

from topo_pipeline.defs.heartbeat import night_tags
from topo_pipeline.defs.jobs import publish, refresh, reread_replies
from topo_pipeline.defs.names import ACTIVITIES, SEQUENCE_TEMPLATES
from topo_pipeline.defs.partitions import FIRST_DAY, date_at
from topo_pipeline.defs.requests import run_request, skipping
from topo_pipeline.defs.resources import Topo
from topo_pipeline.settings import Settings


@skipping
def nightly_refresh_schedule(
    context: dg.ScheduleEvaluationContext, topo: dg.ResourceParam[Topo], settings: dg.ResourceParam[Settings]
) -> list[dg.RunRequest] | dg.SkipReason:
    """Reads yesterday, some days before it once more, what is missing since the first landed day, and the names."""
    from topo_pipeline.automation import nightly
    from topo_pipeline.automation.facts import requests
    from topo_pipeline.defs.recorded import lost_days
    from topo_pipeline.defs.records import failed_days, last_loads, under_way

    topo.client()  # no key: better a skip each night than a failed run
    at, loads = context.scheduled_execution_time, last_loads(context.instance)
    days = nightly.days_to_read(
        today=date_at(at),
        start=FIRST_DAY,
        lookback=settings.lookback_days,
        loads=loads,
        failed=failed_days(context.instance, loads),
        lost=lost_days(context.instance),
        under_way=under_way(context.instance),
    )
    if not days:
        return dg.SkipReason("Each day that the night would read is being read, or comes before TOPO_START_DATE.")
    stretches = requests(days, why="night of", at=at)
    tags = night_tags(at, len(stretches))
    return [run_request(request, SEQUENCE_TEMPLATES, tags=tags) for request in stretches]


@skipping
def nightly_replies_schedule(
    context: dg.ScheduleEvaluationContext, topo: dg.ResourceParam[Topo]
) -> dg.RunRequest | dg.SkipReason:
    """Reads the replies of the last weeks, and each day again whose replies are other by now."""
    from topo_pipeline.defs.records import is_under_way

    topo.client()
    if is_under_way(context.instance, reread_replies.name):
        return dg.SkipReason("The replies are still being read since another night.")
    if context.instance.get_latest_materialization_event(ACTIVITIES) is None:
        return dg.SkipReason("Nothing is landed yet.")
    return dg.RunRequest()


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """They run by default only where `TOPO_AUTOMATION` is on.

    Two of them call the API. The weekly one calls none, but a report that appears by the clock, of days that nobody
    has read, would only look new: one switch for both.
    """
    status = dg.DefaultScheduleStatus.RUNNING if settings.automation == "on" else dg.DefaultScheduleStatus.STOPPED
    terms: dict[str, Any] = {"execution_timezone": settings.timezone, "default_status": status}
    by_night = [
        dg.schedule(cron_schedule=cron, job=job, description=evaluate.__doc__, **terms)(evaluate)
        for cron, job, evaluate in (
            ("15 1 * * *", refresh, nightly_refresh_schedule),
            ("30 1 * * *", reread_replies, nightly_replies_schedule),
        )
    ]
    weekly_report_schedule = dg.ScheduleDefinition(
        "weekly_report_schedule",
        cron_schedule="30 6 * * 1",  # the night has read Sunday by then
        job=publish,
        description="Publishes the report, and what else is published, on Monday morning.",
        **terms,
    )
    return [*by_night, weekly_report_schedule]
