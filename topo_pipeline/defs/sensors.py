"""Sensors that build tables, read today and read changed days again.

What they decide is in `automation`. Sensors that notify somebody are in `notifications`, and those that end or delete
runs in `run_maintenance`.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import dagster as dg

from topo_pipeline.common.commands import pasteable
from topo_pipeline.defs import names
from topo_pipeline.defs.jobs import REFRESH, REREAD_REPLIES, run_request
from topo_pipeline.defs.messages import skip_on_error
from topo_pipeline.defs.partitions import daily_partitions, date_at, day_of, range_tags
from topo_pipeline.defs.records import days_to_build, is_busy, last_builds, last_loads, runs_in_progress
from topo_pipeline.defs.resources import Clock, Topo
from topo_pipeline.settings import Settings
from topo_pipeline.topo_api.errors import TopoError

if TYPE_CHECKING:
    from topo_pipeline.automation.facts import Decision
    from topo_pipeline.automation.following import Outdated
    from topo_pipeline.days import Bounds


def _follow(context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]) -> dg.RunRequest | dg.SkipReason:
    """Builds the tables whose sources or definitions changed, in one run, once nothing reads days or builds tables."""
    from topo_pipeline.automation.following import Definitions, outdated
    from topo_pipeline.common.cursors import read_cursor, write_cursor
    from topo_pipeline.engagement.tables import in_order

    if is_busy(context.instance, settings, {REFRESH, REREAD_REPLIES}):
        return dg.SkipReason("A run or backfill is reading days or building tables.")
    built = {("engagement", table.name): table for table in in_order()}
    reads = {name: table.reads for name, table in built.items()}
    versions = dict.fromkeys({*reads}.union(*reads.values())) | {
        name: table.fingerprint(settings.rules, settings.timezone) for name, table in built.items()
    }
    last = last_builds(context.instance, settings, versions)
    version = sha256(repr(sorted(versions.items())).encode()).hexdigest()[:16]
    known = read_cursor(context.cursor, Definitions())
    own = known if known.version == version else Definitions(version)
    have_changed = known.version not in {"", version}
    tables = outdated(reads, last, replace_old=not own.are_tried, retry=have_changed)
    if not tables.due:
        return dg.SkipReason(_why_not(tables))
    days = days_to_build(context.instance, settings)
    if not days:
        return dg.SkipReason(f"No day since TOPO_START_DATE ({settings.start_date}) has landed.")
    if tables.due != outdated(reads, last).due:
        own = Definitions(version, own.requests + 1)
    context.update_cursor(write_cursor(own))
    # A run has one range. The daily table also builds the landed days that it lacks outside of the range.
    selection = [names.asset_key(settings, *table) for table in tables.due]
    return dg.RunRequest(asset_selection=selection, tags={**range_tags(days[0], days[-1]), **names.run_tags(settings)})


def _why_not(tables: "Outdated") -> str:
    """Return why no table is requested."""
    if tables.waiting:
        waiting = ", ".join(name for _, name in tables.waiting)
        return f"These wait for the next change, because building them has failed: {waiting}."
    if tables.other:
        other = ", ".join(name for _, name in tables.other)
        return f"These were built by other definitions or rules than Dagster has loaded. Restart Dagster: {other}."
    return "Every table was built after its sources and its definition changed."


# On by default, because it calls no API.
tables_follow = dg.sensor(
    name="tables_follow_what_landed",
    target=dg.AssetSelection.groups("engagement"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description=_follow.__doc__,
)(skip_on_error(_follow))


@skip_on_error
def new_activity_sensor(
    context: dg.SensorEvaluationContext, topo: dg.ResourceParam[Topo], clock: dg.ResourceParam[Clock]
) -> dg.SensorResult | dg.SkipReason:
    """Reads today when Topo's count differs from the landed one, at most every 15 minutes."""
    from topo_pipeline.automation import news
    from topo_pipeline.common.cursors import read_cursor

    now, state = clock(), read_cursor(context.cursor, news.NewsState())
    settings = topo.settings
    day = day_of(str(date_at(now, settings)), daily_partitions(settings))
    running = runs_in_progress(context.instance, settings)
    reason = news.skip_reason(state, day, now, start=settings.start_date, in_progress=running)
    if reason:
        return dg.SkipReason(reason)
    last = last_loads(context.instance, settings, [day.day]).get(day.day)
    [count] = _fetch(topo, [news.bounds_of(day, last, now)])
    if isinstance(count, TopoError):
        raise count
    return _tick_result(news.decide(state, day.day, last, count, now), settings)


@skip_on_error
def late_activity_sensor(
    context: dg.SensorEvaluationContext, topo: dg.ResourceParam[Topo], clock: dg.ResourceParam[Clock]
) -> dg.SensorResult | dg.SkipReason:
    """Reads landed days again whose count in Topo has changed. Compares the last 3 days hourly, the last 35 daily."""
    from topo_pipeline.automation import drift
    from topo_pipeline.common.cursors import read_cursor

    now, state = clock(), read_cursor(context.cursor, drift.DriftState())
    settings = topo.settings
    today, runs, start = date_at(now, settings), runs_in_progress(context.instance, settings), settings.start_date
    due = [day for day in drift.due(state, today, now) if day >= start and not any(day in run for run in runs)]
    found = last_loads(context.instance, settings, due)
    loads = {day: load for day in due if (load := found.get(day)) is not None}
    if not loads:
        return dg.SkipReason("No landed day is due for comparison.")
    bounds = [(load.asked_after, load.asked_before) for load in loads.values()]
    answers = dict(zip(loads, _fetch(topo, bounds), strict=False))
    return _tick_result(drift.decide(state, loads, answers, today, now), settings)


def _fetch(topo: Topo, bounds: "Sequence[Bounds]") -> list[int | TopoError]:
    """Return Topo's counts, each requested without retries."""
    from topo_pipeline.ingest.counts import SINGLE_ATTEMPT, fetch_counts

    return fetch_counts(replace(topo, retries=SINGLE_ATTEMPT).client, bounds)


def _tick_result(decision: "Decision[Any]", settings: Settings) -> dg.SensorResult:
    """Return a decision as Dagster's sensor result."""
    from topo_pipeline.common.cursors import write_cursor

    return dg.SensorResult(
        run_requests=[run_request(request, settings) for request in decision.requests],
        skip_reason=None if decision.requests else pasteable(decision.reason),
        cursor=write_cursor(decision.state),
    )


def sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """Return the sensors that call the API. They are on by default only if `TOPO_AUTOMATION` is on."""
    status = dg.DefaultSensorStatus.RUNNING if settings.automation == "on" else dg.DefaultSensorStatus.STOPPED
    terms: dict[str, Any] = {"job_name": REFRESH, "minimum_interval_seconds": 300, "default_status": status}
    return [
        dg.sensor(description=evaluate.__doc__, **terms)(evaluate)
        for evaluate in (new_activity_sensor, late_activity_sensor)
    ]
