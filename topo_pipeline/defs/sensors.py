"""Sensors: what happens by itself."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from topo_pipeline.defs.jobs import refresh
from topo_pipeline.defs.partitions import FIRST_DAY, date_at, day_of, key_of
from topo_pipeline.defs.requests import skipping, tick_result
from topo_pipeline.defs.resources import Clock, Topo
from topo_pipeline.settings import Settings
from topo_pipeline.topo_api.errors import TopoError

if TYPE_CHECKING:
    from topo_pipeline.automation.counting import Bounds

# On by default: it calls no API, it only lets the tables follow what landed.
tables_follow = dg.AutomationConditionSensorDefinition(
    "tables_follow_what_landed",
    target=dg.AssetSelection.groups("engagement"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Rebuilds the engagement tables once what they are made of has changed.",
)


@skipping
def new_activity_sensor(
    context: dg.SensorEvaluationContext, topo: dg.ResourceParam[Topo], clock: dg.ResourceParam[Clock]
) -> dg.SensorResult | dg.SkipReason:
    """Asks for today once Topo has other activities of it than are landed, at least 15 minutes apart."""
    from topo_pipeline.automation import news
    from topo_pipeline.automation.cursors import read_cursor
    from topo_pipeline.defs.records import last_loads, under_way

    now, memory = clock(), read_cursor(context.cursor, news.Memory)
    day = day_of(key_of(date_at(now)))
    reason = news.hold_back(memory, day, now, start=FIRST_DAY, under_way=under_way(context.instance))
    if reason:
        return dg.SkipReason(reason)
    last = last_loads(context.instance, [day.day]).get(day.day)
    [count] = _ask(topo, [news.bounds_of(day, last, now)])
    if isinstance(count, TopoError):
        raise count
    return tick_result(news.decide(memory, day.day, last, count, now))


@skipping
def late_activity_sensor(
    context: dg.SensorEvaluationContext, topo: dg.ResourceParam[Topo], clock: dg.ResourceParam[Clock]
) -> dg.SensorResult | dg.SkipReason:
    """Counts the last 35 days anew between the bounds of their loads, the last 3 hourly; reads again what moved."""
    from topo_pipeline.automation import drift
    from topo_pipeline.automation.cursors import read_cursor
    from topo_pipeline.defs.records import last_loads, under_way

    now, memory = clock(), read_cursor(context.cursor, drift.Memory)
    today, runs = date_at(now), under_way(context.instance)
    due = [day for day in drift.due(memory, today, now) if day >= FIRST_DAY and not any(day in run for run in runs)]
    found = last_loads(context.instance, due)
    loads = {day: load for day in due if (load := found.get(day)) is not None}
    if not loads:
        return dg.SkipReason("No landed day is due to be looked at.")
    bounds = [(load.asked_after, load.asked_before) for load in loads.values()]
    answers = dict(zip(loads, _ask(topo, bounds), strict=False))
    return tick_result(drift.decide(memory, loads, answers, today, now))


def _ask(topo: Topo, bounds: "Sequence[Bounds]") -> list[int | TopoError]:
    """Topo's counts, each asked for once."""
    from topo_pipeline.automation.counting import ONE_TRY, ask_counts

    return ask_counts(replace(topo, retries=ONE_TRY).client, bounds)


def sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """Those that call the API: they run by default only where `TOPO_AUTOMATION` is on."""
    status = dg.DefaultSensorStatus.RUNNING if settings.automation == "on" else dg.DefaultSensorStatus.STOPPED
    terms: dict[str, Any] = {"job": refresh, "minimum_interval_seconds": 300, "default_status": status}
    return [
        dg.sensor(description=evaluate.__doc__, **terms)(evaluate)
        for evaluate in (new_activity_sensor, late_activity_sensor)
    ]
