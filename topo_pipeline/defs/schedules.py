"""Schedules in the reporting time zone. Which days a night reads is decided in `automation`.

`build_schedule_from_partitioned_job` is not used: it would read today.
"""

from typing import Any

import dagster as dg

from topo_pipeline.defs import monday_message, names
from topo_pipeline.defs.activities import list_assets
from topo_pipeline.defs.jobs import MAINTAIN_LAKE, PUBLISH, REFRESH, REREAD_REPLIES, run_request
from topo_pipeline.defs.messages import skip_on_error
from topo_pipeline.defs.notifications import night_tags
from topo_pipeline.defs.partitions import date_at
from topo_pipeline.defs.records import failed_days, has_run_in_progress, last_loads, lost_days, runs_in_progress
from topo_pipeline.defs.resources import Topo
from topo_pipeline.settings import Settings


@skip_on_error
def nightly_refresh_schedule(
    context: dg.ScheduleEvaluationContext, topo: dg.ResourceParam[Topo], settings: dg.ResourceParam[Settings]
) -> list[dg.RunRequest] | dg.SkipReason:
    """Reads yesterday, TOPO_LOOKBACK_DAYS before it, days missing since the first landed one, and sequence names."""
    from topo_pipeline.automation import nightly
    from topo_pipeline.automation.facts import make_requests

    topo.client()  # raises without a key, which skips the tick instead of launching a run that fails
    at, loads = context.scheduled_execution_time, last_loads(context.instance, settings)
    days = nightly.days_to_read(
        today=date_at(at, settings),
        start=settings.start_date,
        lookback=settings.lookback_days,
        loads=loads,
        failed=failed_days(context.instance, loads, settings),
        lost=lost_days(context.instance, settings),
        in_progress=runs_in_progress(context.instance, settings),
    )
    if not days:
        return dg.SkipReason("No days to read: queued or running runs read them, or they are before TOPO_START_DATE.")
    stretches = make_requests(days, purpose="night of", at=at)
    tags = night_tags(at, len(stretches))
    return [run_request(request, settings, *list_assets(settings), tags=tags) for request in stretches]


@skip_on_error
def nightly_replies_schedule(
    context: dg.ScheduleEvaluationContext, topo: dg.ResourceParam[Topo]
) -> dg.RunRequest | dg.SkipReason:
    """Reads the replies of the last weeks, and reads each day again whose replies differ from the landed ones."""
    topo.client()
    if has_run_in_progress(context.instance, topo.settings, REREAD_REPLIES):
        return dg.SkipReason(f"An earlier run of {REREAD_REPLIES} has not ended.")
    if context.instance.get_latest_materialization_event(names.activities(topo.settings)) is None:
        return dg.SkipReason("No day has landed yet.")
    return dg.RunRequest()


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Return the schedules. They are on by default only if `TOPO_AUTOMATION` is on.

    The weekly report calls no API, but depends on the same setting: without fresh days, it would only look new.
    """
    status = dg.DefaultScheduleStatus.RUNNING if settings.automation == "on" else dg.DefaultScheduleStatus.STOPPED
    terms: dict[str, Any] = {"execution_timezone": settings.timezone, "default_status": status}
    nightly = [
        dg.schedule(cron_schedule=cron, job_name=job, description=evaluate.__doc__, **terms)(evaluate)
        for cron, job, evaluate in (
            ("15 1 * * *", REFRESH, nightly_refresh_schedule),
            ("30 1 * * *", REREAD_REPLIES, nightly_replies_schedule),
        )
    ]

    def schedule(name: str, cron: str, job: str, description: str) -> dg.ScheduleDefinition:
        return dg.ScheduleDefinition(name, cron_schedule=cron, job_name=job, description=description, **terms)

    # After the nightly refresh has read Sunday.
    does = "Publishes the report and the Parquet export every Monday at 06:30."
    found = [*nightly, schedule("weekly_report_schedule", "30 6 * * 1", PUBLISH, does)]
    if settings.is_lake:  # when the nightly runs have usually ended
        does = "Merges the lake's small files and removes old snapshots every night at 03:45."
        found.append(schedule("nightly_maintenance_schedule", "45 3 * * *", MAINTAIN_LAKE, does))
    if settings.has_chat or settings.has_mail:
        does = "Writes the report and sends the Monday message every Monday at 06:45."
        found.append(schedule("monday_message_schedule", "45 6 * * 1", monday_message.NAME, does))
    return found
