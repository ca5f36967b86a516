"""The sensor that sends heartbeats to an outside monitor. `automation.heartbeat` decides when."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from topo_pipeline.days import days_between
from topo_pipeline.defs.partitions import RANGE_END, RANGE_START, day_of
from topo_pipeline.defs.resources import Clock
from topo_pipeline.settings import Settings

if TYPE_CHECKING:
    from topo_pipeline.automation.heartbeat import NightlyRefresh, Status

NIGHT, STRETCHES = "topo_pipeline/night", "topo_pipeline/stretches"
"""Tags of each run of a nightly refresh: the time of its tick, and the number of runs that the tick requested."""
_RECENT = 50  # runs


def night_tags(at: datetime, stretches: int) -> Mapping[str, str]:
    """Return the tags that mark a run as part of this nightly refresh."""
    return {NIGHT: at.isoformat(), STRETCHES: str(stretches)}


def heartbeat_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor. It is on by default if TOPO_HEARTBEAT_URL is set."""
    status = dg.DefaultSensorStatus.RUNNING if settings.heartbeat_url else dg.DefaultSensorStatus.STOPPED
    return dg.sensor(
        name="heartbeat_sensor", minimum_interval_seconds=60, default_status=status, description=_evaluate.__doc__
    )(_evaluate)


def _evaluate(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings], clock: dg.ResourceParam[Clock]
) -> dg.SensorResult | dg.SkipReason:
    """Requests TOPO_HEARTBEAT_URL after each successful nightly refresh, so that a monitor notices when none runs."""
    from topo_pipeline.alerts.delivery import Heartbeat, Undelivered
    from topo_pipeline.automation.cursors import read_cursor, write_cursor
    from topo_pipeline.automation.heartbeat import HeartbeatState, skip_reason
    from topo_pipeline.defs.records import failed_days, last_loads

    if settings.heartbeat_url is None:
        return dg.SkipReason("No heartbeat is sent. Set TOPO_HEARTBEAT_URL.")
    state, night, now = read_cursor(context.cursor, HeartbeatState), last_nightly_refresh(context.instance), clock()
    days = night.days if night else ()
    reason = skip_reason(state, night, last_loads(context.instance, days), failed_days(context.instance, days), now)
    if night is None or reason:
        return dg.SkipReason(reason)
    try:
        Heartbeat(settings.heartbeat_url.get_secret_value()).ping()
    except Undelivered as error:
        state = state.after_failure(night.at, now)
        again = "No more attempts" if state.done else f"Next attempt: {state.next_attempt:%Y-%m-%d %H:%M UTC}"
        return dg.SensorResult(skip_reason=f"Not delivered: {error}. {again}.", cursor=write_cursor(state))
    reason = f"The nightly refresh of {night.at:%Y-%m-%d} succeeded. Its heartbeat was delivered."
    return dg.SensorResult(skip_reason=reason, cursor=write_cursor(state.after_success(night.at)))


def last_nightly_refresh(instance: dg.DagsterInstance) -> "NightlyRefresh | None":
    """Return the last tick of the nightly schedule that launched a run, with its runs."""
    from topo_pipeline.automation.heartbeat import NightlyRefresh

    launched_by = {"dagster/schedule_name": "nightly_refresh_schedule"}
    recent = instance.get_runs(dg.RunsFilter(tags=launched_by), limit=_RECENT)
    # Sorted by tick, because the newest run may re-execute a run of an earlier night.
    for newest in sorted((run for run in recent if NIGHT in run.tags), key=lambda run: run.tags[NIGHT])[-1:]:
        runs = instance.get_runs(dg.RunsFilter(tags={NIGHT: newest.tags[NIGHT]}))  # with re-executions, newest first
        last: dict[str, Status] = {}
        days = set()
        for run in runs:
            first, until = run.tags[RANGE_START], run.tags[RANGE_END]
            last.setdefault(f"{first}..{until}", _status(run))
            days |= set(days_between(day_of(first).day, day_of(until).day))
        return NightlyRefresh(datetime.fromisoformat(newest.tags[NIGHT]), int(newest.tags[STRETCHES]), last, days)
    return None


def _status(run: dg.DagsterRun) -> "Status":
    if run.status == dg.DagsterRunStatus.SUCCESS:
        return "succeeded"
    return "failed" if run.is_finished else "in progress"
