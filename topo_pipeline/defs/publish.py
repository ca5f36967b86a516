"""What is made of the tables for those who look elsewhere."""

import dagster as dg

from topo_pipeline.defs.failures import one_sentence
from topo_pipeline.defs.names import ACTIVITIES, OWNERS, SEQUENCE_TEMPLATES
from topo_pipeline.engagement.tables import tables
from topo_pipeline.exports.parquet import LATEST, export_all
from topo_pipeline.ingest import Clock
from topo_pipeline.settings import Settings
from topo_pipeline.warehouse.connection import Warehouse

_TABLES = [dg.AssetKey(["engagement", name]) for name in tables()]


@dg.asset(
    key=["publish", "parquet"],
    deps=[ACTIVITIES, SEQUENCE_TEMPLATES, *_TABLES],
    backfill_policy=dg.BackfillPolicy.single_run(),  # on all: dg launch takes a range only then
    group_name="publish",
    kinds={"duckdb", "parquet"},
    owners=OWNERS,
    pool="warehouse",
)
def parquet(
    warehouse: dg.ResourceParam[Warehouse], settings: dg.ResourceParam[Settings], clock: dg.ResourceParam[Clock]
) -> dg.MaterializeResult[None]:
    """Every table, and the activities by month, as Parquet with a manifest: what BI tools read."""
    with one_sentence():
        done = export_all(warehouse, settings.report_dir / "parquet", now=clock())
    return dg.MaterializeResult(
        metadata={
            "folder": dg.MetadataValue.path(str(done.folder)),
            "latest": dg.MetadataValue.path(str(done.folder.with_name(LATEST))),
            "tables": done.tables,
            "files": done.files,
            "files_kept_as_they_were": done.linked,
            "rows": done.rows,
            "bytes": done.bytes,
        }
    )
