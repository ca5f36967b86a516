"""The demo's tables as of a fixed day, for the worked examples in docs/metrics.md.

The activities are those of `make demo` on that day. They are inserted, not read over HTTP, which would take a minute.
"""

from datetime import UTC, date, datetime, time, timedelta

import msgspec
import pandas as pd

from topo_pipeline.engagement.building import build
from topo_pipeline.engagement.tables import in_order
from topo_pipeline.sandbox import demo
from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.world import World
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import land_list
from topo_pipeline.warehouse.workspace import bind_timezone

AS_OF = date(2026, 11, 30)

_ACTIVITIES = """
INSERT INTO topo.activities BY NAME
SELECT
    *, created_at::DATE AS day, lower(concat(resource_type, '.', event_type)) AS type, 'payload' AS channel_source,
    '{}' AS payload, $now AS landed_at, md5(day::VARCHAR)::UUID AS load_id
FROM activities
"""
_LOADS = """
INSERT INTO topo.loads BY NAME
SELECT
    day, md5(day::VARCHAR)::UUID AS load_id, 'demo' AS run_id, day AS asked_after, day + 1 AS asked_before,
    false AS is_open, true AS proved, count(id) AS api_total_count, count(id) AS rows, count(id) AS added, 0 AS changed,
    0 AS removed, 1 AS requests, 0 AS rejects, $now AS started_at, $now AS finished_at, 0 AS suppressed,
    false AS count_capped
FROM (SELECT unnest($days::DATE[]) AS day) LEFT JOIN topo.activities USING (day)
GROUP BY day
"""


def write_demo(path: str, today: date = AS_OF, *, days_before: int = demo.DAYS) -> Warehouse:
    """Write a warehouse with the tables that `make demo` builds on `today`, of this number of days, and return it."""
    warehouse = Warehouse(path)
    warehouse.prepare()
    midnight = datetime.combine(today, time.min, UTC)
    days = [today - timedelta(days=ago) for ago in range(days_before, 0, -1)]
    world = World(demo.SEED, scale=demo.SCALE)
    found = world.activities(datetime.combine(days[0], time.min, UTC) - timedelta(microseconds=1), midnight)
    activities = pd.DataFrame([_row(each, midnight) for each in found])
    templates = pd.DataFrame([msgspec.structs.asdict(each) for each in world.templates(midnight)])
    with warehouse.transaction() as connection:
        bind_timezone(connection, "UTC", now=midnight)
        connection.register("activities", activities)
        connection.execute(_ACTIVITIES, {"now": midnight})
        connection.unregister("activities")
        connection.execute(_LOADS, {"now": midnight, "days": days})
        land_list(connection, "sequence_templates", templates, now=midnight)
        for table in in_order():
            build(connection, table, timezone="UTC", now=midnight, days=days if table.is_daily else ())
    return warehouse


def _row(activity: Activity, now: datetime) -> dict[str, object]:
    row = msgspec.structs.asdict(activity) | {"reply_category": activity.category_at(now)}
    del row["classified_at"]
    return row
