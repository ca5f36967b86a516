"""Jobs: what a schedule, a person or the command line runs as one."""

import dagster as dg

# Everything from the API to the last table; a range of days is one run.
refresh = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.groups("topo", "engagement"),
    description="Read the days asked for, then bring every table up to date.",
)
