"""The sensor that reports good nights to a watcher elsewhere. When it does is decided in `automation.heartbeat`."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from topo_pipeline.days import days_between
from topo_pipeline.defs.partitions import RANGE_END, RANGE_START, day_of
from topo_pipeline.defs.resources import Clock
from topo_pipeline.settings import Settings

if TYPE_CHECKING:
    from topo_pipeline.automation.heartbeat import Night, Status

NIGHT, STRETCHES = "topo_pipeline/night", "topo_pipeline/stretches"
"""Tags of each run of a night: the tick, and how many runs the tick asked for."""
_RECENT = 50  # runs


def night_tags(at: datetime, stretches: int) -> Mapping[str, str]:
    """Return the tags by which a run is known as one of this night's."""
    return {NIGHT: at.isoformat(), STRETCHES: str(stretches)}


def heartbeat_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor, which is on by default where there is an address to request."""
    status = dg.DefaultSensorStatus.RUNNING if settings.heartbeat_url else dg.DefaultSensorStatus.STOPPED
    return dg.sensor(
        name="heartbeat_sensor", minimum_interval_seconds=60, default_status=status, description=_evaluate.__doc__
    )(_evaluate)


def _evaluate(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings], clock: dg.ResourceParam[Clock]
) -> dg.SensorResult | dg.SkipReason:
    """Requests TOPO_HEARTBEAT_URL after each good night, so that somebody outside notices when nothing runs."""
    from topo_pipeline.alerts.delivery import Heartbeat, Undelivered
    from topo_pipeline.automation.cursors import read_cursor, write_cursor
    from topo_pipeline.automation.heartbeat import Memory, hold_back
    from topo_pipeline.defs.records import failed_days, last_loads

    if settings.heartbeat_url is None:
        return dg.SkipReason("Nothing is requested: set TOPO_HEARTBEAT_URL.")
    memory, night, now = read_cursor(context.cursor, Memory), last_night(context.instance), clock()
    days = night.days if night else ()
    reason = hold_back(memory, night, last_loads(context.instance, days), failed_days(context.instance, days), now)
    if night is None or reason:
        return dg.SkipReason(reason)
    try:
        Heartbeat(settings.heartbeat_url.get_secret_value()).beat()
    except Undelivered as error:
        memory = memory.failed(night.at, now)
        again = "No more attempts" if memory.done else f"Next attempt: {memory.next_attempt:%Y-%m-%d %H:%M UTC}"
        return dg.SensorResult(skip_reason=f"Not delivered: {error}. {again}.", cursor=write_cursor(memory))
    said = f"The night of {night.at:%Y-%m-%d} was good, and its heartbeat was delivered."
    return dg.SensorResult(skip_reason=said, cursor=write_cursor(memory.answered(night.at)))


def last_night(instance: dg.DagsterInstance) -> "Night | None":
    """Return the last tick of the nightly schedule that launched a run, and the runs of that tick."""
    from topo_pipeline.automation.heartbeat import Night

    launched_by = {"dagster/schedule_name": "nightly_refresh_schedule"}
    recent = instance.get_runs(dg.RunsFilter(tags=launched_by), limit=_RECENT)
    # Not the newest run, which may be the re-execution of an earlier night's.
    for newest in sorted((run for run in recent if NIGHT in run.tags), key=lambda run: run.tags[NIGHT])[-1:]:
        runs = instance.get_runs(dg.RunsFilter(tags={NIGHT: newest.tags[NIGHT]}))  # re-executions too, newest first
        last: dict[str, Status] = {}
        days = set()
        for run in runs:
            first, until = run.tags[RANGE_START], run.tags[RANGE_END]
            last.setdefault(f"{first}..{until}", _status(run))
            days |= set(days_between(day_of(first).day, day_of(until).day))
        return Night(datetime.fromisoformat(newest.tags[NIGHT]), int(newest.tags[STRETCHES]), last, days)
    return None


def _status(run: dg.DagsterRun) -> "Status":
    if run.status == dg.DagsterRunStatus.SUCCESS:
        return "succeeded"
    return "failed" if run.is_finished else "under way"
