"""A code location: every Dagster object, built from one settings object. It loads without an API key."""

import dagster as dg

from topo_pipeline.days import Clock
from topo_pipeline.defs.activities import topo_assets
from topo_pipeline.defs.asset_checks import asset_checks
from topo_pipeline.defs.executor import one_process
from topo_pipeline.defs.jobs import jobs
from topo_pipeline.defs.metric_tables import metric_tables
from topo_pipeline.defs.notifications import alert_sensor, heartbeat_sensor
from topo_pipeline.defs.publish import published_assets
from topo_pipeline.defs.resources import Topo, Warehouse, resources, utc_now
from topo_pipeline.defs.run_maintenance import killed_runs_sensor, old_records_sensor
from topo_pipeline.defs.schedules import schedules
from topo_pipeline.defs.sensors import sensors, tables_follow
from topo_pipeline.settings import Settings


def build(
    settings: Settings, *, clock: Clock = utc_now, topo: Topo | None = None, warehouse: Warehouse | None = None
) -> dg.Definitions:
    """Build the code location. It has the objects of one workspace.

    Args:
        settings: They define partitions, schedules, freshness, tables and resources.
        clock: Returns the current time, for runs and ticks.
        topo: Use this API instead of the one in the settings.
        warehouse: Use this warehouse instead of the one in the settings.
    """
    return dg.Definitions(
        assets=[*topo_assets(settings), *published_assets(settings), *metric_tables(settings)],
        asset_checks=asset_checks(settings),
        jobs=jobs(settings),
        schedules=schedules(settings),
        sensors=[
            tables_follow,
            *sensors(settings),
            killed_runs_sensor,
            alert_sensor(settings),
            heartbeat_sensor(settings),
            old_records_sensor(settings),
        ],
        resources=resources(settings, clock=clock, topo=topo, warehouse=warehouse),
        executor=one_process(settings),
    )
