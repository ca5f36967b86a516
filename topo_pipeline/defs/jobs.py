"""Jobs that schedules, people and the command line run, the op of `reread_replies`, and requests for runs of days.

When a job runs is decided in `schedules` and `sensors`.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from topo_pipeline.defs import names
from topo_pipeline.defs.activities import land
from topo_pipeline.defs.asset_checks import report_activity_checks
from topo_pipeline.defs.messages import as_dagster_failure
from topo_pipeline.defs.monday_message import send_report
from topo_pipeline.defs.partitions import days_before, range_tags
from topo_pipeline.defs.resources import Clock, Topo, Warehouse
from topo_pipeline.settings import Settings

if TYPE_CHECKING:
    from topo_pipeline.automation.facts import Request

# A sequence run's reply counts for 30 days after its first message, and its category may come some days later.
REPLY_DAYS = 35

REFRESH, REREAD_REPLIES, PUBLISH, MAINTAIN_LAKE = "refresh", "reread_replies", "publish", "maintain_lake"


class RereadConfig(dg.Config):
    """How many days to compare."""

    days: int = Field(default=REPLY_DAYS, ge=1, le=366, description="Complete days to compare, back from yesterday.")


def reread_days_with_other_replies(
    context: dg.OpExecutionContext,
    config: RereadConfig,
    topo: dg.ResourceParam[Topo],
    warehouse: dg.ResourceParam[Warehouse],
    clock: dg.ResourceParam[Clock],
) -> None:
    """Read the replies of the last weeks as one window, compare, and read each landed day that differs in full."""
    from topo_pipeline.ingest.changed_replies import days_with_changed_replies

    days = days_before(clock(), config.days, topo.settings)
    with as_dagster_failure():
        differ = days_with_changed_replies(
            topo.client,
            warehouse,
            days,
            clock=clock,
            timezone=topo.settings.timezone,
            completeness=topo.settings.completeness,
        )
        context.log.info(
            f"Replies differ from the landed ones on {len(differ)} of the last {len(days)} days"
            + (f": {', '.join(str(day.day) for day in differ)}" if differ else "")
        )
        land(context, differ, topo, warehouse, clock)
        if differ:
            report_activity_checks(context, warehouse, clock, topo.settings)


def merge_and_clean_up(warehouse: dg.ResourceParam[Warehouse]) -> None:
    """Merge the lake's small files, and remove old snapshots and files that are no longer needed."""
    from topo_pipeline.maintenance.lake import maintain_lake

    with as_dagster_failure():
        maintain_lake(warehouse)


def jobs(settings: Settings) -> list[Any]:
    """Return the jobs. Only a lake needs maintenance, and a message needs a destination."""
    tags = names.run_tags(settings)

    def of_one_step(name: str, compute: Callable[..., None], description: str, **terms: str) -> dg.JobDefinition:
        make: Any = dg.op
        step = make(out=dg.Out(dg.Nothing), **terms)(compute)
        return dg.GraphDefinition(name, node_defs=[step]).to_job(tags=tags, description=description)

    found = [
        # Everything from the API to the last table. A range of days is one run.
        dg.define_asset_job(
            REFRESH,
            selection=dg.AssetSelection.groups("topo", "engagement"),
            tags=tags,
            description="Read the requested days, then build every table.",
        ),
        of_one_step(
            REREAD_REPLIES,
            reread_days_with_other_replies,
            "Read days again whose replies were classified, relabelled, added or removed since they landed.",
            pool=names.pool(settings, "topo_api"),
        ),
        dg.define_asset_job(
            PUBLISH,
            selection=dg.AssetSelection.groups("publish"),
            tags=tags,
            description="Publish the current tables: the report, the Parquet export and every target in the settings.",
        ),
        of_one_step(
            MAINTAIN_LAKE,
            merge_and_clean_up,
            "Merge the lake's small files and remove snapshots older than 7 days, while other writers wait.",
        )
        if settings.is_lake
        else None,
        send_report(settings),
    ]
    return [job for job in found if job is not None]


def run_request(
    request: "Request", settings: Settings, *others: dg.AssetKey, tags: Mapping[str, str] | None = None
) -> dg.RunRequest:
    """Return a run that reads the requested days and `others`. A sensor builds the tables afterwards."""
    return dg.RunRequest(
        run_key=request.key,
        asset_selection=[names.activities(settings), *others],
        tags={**range_tags(request.first, request.last), **(tags or {})},
    )
