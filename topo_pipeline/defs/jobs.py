"""Jobs that schedules, people and the command line run."""

import dagster as dg

from topo_pipeline.defs.replies import reread_days_with_other_replies

# Everything from the API to the last table. A range of days is one run.
refresh = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.groups("topo", "engagement"),
    description="Read the requested days, then build every table.",
)

publish = dg.define_asset_job(
    "publish",
    selection=dg.AssetSelection.groups("publish"),
    description="Write the report and the Parquet export from the current tables.",
)


@dg.job(description="Read days again whose replies were classified, relabelled, added or removed since they landed.")
def reread_replies() -> None:
    """One step. A sensor builds the tables after it."""
    reread_days_with_other_replies()
