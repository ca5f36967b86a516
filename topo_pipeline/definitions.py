"""The code location: every Dagster object of `defs`, with its resources. It loads without an API key."""

import dagster as dg

from topo_pipeline.defs import checks, ingest, jobs, publish, schedules, sensors
from topo_pipeline.defs.alerts import alert_sensor
from topo_pipeline.defs.engagement import metric_tables
from topo_pipeline.defs.heartbeat import heartbeat_sensor
from topo_pipeline.defs.old_records import old_records_sensor
from topo_pipeline.defs.orphaned_runs import killed_runs_sensor, one_process
from topo_pipeline.defs.resources import Resources, resources


def build(using: Resources) -> dg.Definitions:
    """Build the code location with these resources."""
    return dg.Definitions(
        assets=[*dg.load_assets_from_modules([ingest, publish]), *metric_tables(using["settings"])],
        asset_checks=dg.load_asset_checks_from_modules([checks]),
        jobs=[jobs.refresh, jobs.reread_replies, jobs.publish],
        schedules=schedules.schedules(using["settings"]),
        sensors=[
            sensors.tables_follow,
            *sensors.sensors(using["settings"]),
            killed_runs_sensor,
            alert_sensor(using["settings"]),
            heartbeat_sensor(using["settings"]),
            old_records_sensor(using["settings"]),
        ],
        resources=dict(using),
        executor=one_process,
    )


defs = build(resources)
