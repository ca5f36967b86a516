"""The code location: every Dagster object of `defs`, with its resources. Loads without a key."""

from collections.abc import Mapping

import dagster as dg

from topo_pipeline import defs as modules
from topo_pipeline.defs import jobs, sensors
from topo_pipeline.defs.resources import resources


def build(using: Mapping[str, object]) -> dg.Definitions:
    """Make the code location over these resources (`topo`, `warehouse`, `settings`, `clock`)."""
    return dg.Definitions(
        assets=dg.load_assets_from_package_module(modules),
        asset_checks=dg.load_asset_checks_from_package_module(modules),
        jobs=[jobs.refresh, jobs.reread_replies],
        sensors=[sensors.tables_follow],
        resources=using,
        # One process a run: no step contends with its sibling for DuckDB's single writer, none pays a start-up.
        executor=dg.in_process_executor,
    )


defs = build(resources)
