"""Jobs: what a schedule, a person or the command line runs as one."""

import dagster as dg

from topo_pipeline.defs.replies import reread_days_with_other_replies

# Everything from the API to the last table; a range of days is one run.
refresh = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.groups("topo", "engagement"),
    description="Read the days asked for, then bring every table up to date.",
)

# What people and tools outside look at; what is added to the group joins it.
publish = dg.define_asset_job(
    "publish",
    selection=dg.AssetSelection.groups("publish"),
    description="Write what is published, of what the tables hold.",
)


@dg.job(description="Read the days again whose replies were classified, relabelled, added or removed since.")
def reread_replies() -> None:
    """One step: what it lands, the tables follow."""
    reread_days_with_other_replies()
