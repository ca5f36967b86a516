"""The assets that publish the current tables: the report, the Parquet export, and the targets that the settings name.

What they write is in `report` and `exports`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from topo_pipeline.defs.activities import LIST_ASSETS
from topo_pipeline.defs.messages import as_dagster_failure
from topo_pipeline.defs.partitions import ACTIVITIES, OWNERS
from topo_pipeline.defs.resources import Clock, Warehouse
from topo_pipeline.engagement.tables import tables
from topo_pipeline.report.queries import READS
from topo_pipeline.settings import Settings

if TYPE_CHECKING:
    from topo_pipeline.report.page import Published

REPORT = dg.AssetKey(["publish", "engagement_report"])
SUMMARY = dg.AssetKey(["engagement", "sequence_summary"])
_DESCRIPTIONS = {
    "s3": "Every table as Parquet files in `TOPO_PUBLISH_S3`, below a `latest.json` that names the newest export.",
    "postgres": "Every table in the Postgres database `TOPO_PUBLISH_POSTGRES`, replaced in one transaction.",
    "iceberg": "Every table in the Iceberg catalog and namespace `TOPO_PUBLISH_ICEBERG`.",
}
_TABLES = [dg.AssetKey(["engagement", name]) for name in tables()]


@dg.asset(
    key=REPORT,
    deps=[dg.AssetKey(table) for table in READS],
    backfill_policy=dg.BackfillPolicy.single_run(),  # on all: dg launch takes a range only then
    group_name="publish",
    kinds={"html", "duckdb"},
    owners=OWNERS,
    pool="warehouse",
)
def engagement_report(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    clock: dg.ResourceParam[Clock],
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    """The engagement report: one HTML file in `TOPO_REPORT_DIR`, written from the current tables."""
    metadata = about(write_report(warehouse, clock, settings))
    context.log_event(findings(metadata))
    return dg.MaterializeResult(metadata=metadata)


def write_report(warehouse: Warehouse, clock: Clock, settings: Settings) -> "Published":
    """Write the report. A folder that can't be written is a failure without retries."""
    from topo_pipeline.report.page import publish

    try:
        with as_dagster_failure(), warehouse.reader() as connection:
            return publish(
                connection,
                settings.report_dir,
                timezone=settings.timezone,
                rules=settings.rules,
                now=clock(),
                url=settings.report_url,
            )
    except OSError as error:
        raise dg.Failure(
            f"Could not write the report to {settings.report_dir} (TOPO_REPORT_DIR): {error.strerror}.",
            allow_retries=False,
        ) from error


def about(published: "Published") -> dict[str, Any]:
    """Return the metadata of a written report."""
    from topo_pipeline.report.markdown import to_do

    return {
        "path": dg.MetadataValue.path(published.path),
        "open": dg.MetadataValue.url(published.url),
        "kept": dg.MetadataValue.path(published.kept),
        "bytes": published.size,
        "as_of": str(published.as_of or "no complete day yet"),
        "sequences": published.sequences,
        "do_this_week": dg.MetadataValue.md(to_do(published.to_do)),
    }


def findings(metadata: Mapping[str, Any]) -> dg.AssetObservation:
    """Return what the report says to do, for the page of `sequence_summary`, which is built before the findings."""
    return dg.AssetObservation(SUMMARY, metadata={name: metadata[name] for name in ("do_this_week", "as_of", "open")})


@dg.asset(
    key=["publish", "parquet"],
    deps=[ACTIVITIES, *LIST_ASSETS, *_TABLES],
    backfill_policy=dg.BackfillPolicy.single_run(),  # on all: dg launch takes a range only then
    group_name="publish",
    kinds={"duckdb", "parquet"},
    owners=OWNERS,
    pool="warehouse",
)
def parquet(
    warehouse: dg.ResourceParam[Warehouse], settings: dg.ResourceParam[Settings], clock: dg.ResourceParam[Clock]
) -> dg.MaterializeResult[None]:
    """Every table, and the activities by month, as Parquet files with a manifest, for BI tools."""
    from topo_pipeline.exports.parquet import LATEST, export_all

    with as_dagster_failure():
        done = export_all(warehouse, settings.report_dir / "parquet", now=clock())
    return dg.MaterializeResult(
        metadata={
            "folder": dg.MetadataValue.path(str(done.folder)),
            "latest": dg.MetadataValue.path(str(done.folder.with_name(LATEST))),
            "tables": done.tables,
            "files": done.files,
            "rows": done.rows,
            "bytes": done.bytes,
        }
    )


def target_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return an asset for each target outside this machine that the settings name, such as `publish/postgres`."""
    return [_target_asset(name) for name in settings.targets]


def _target_asset(name: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=["publish", name],
        deps=[ACTIVITIES, *LIST_ASSETS, *_TABLES],
        backfill_policy=dg.BackfillPolicy.single_run(),  # on all: dg launch takes a range only then
        group_name="publish",
        kinds={"duckdb", name},
        owners=OWNERS,
        pool="warehouse",
        description=_DESCRIPTIONS[name],
    )
    def published(
        warehouse: dg.ResourceParam[Warehouse], settings: dg.ResourceParam[Settings], clock: dg.ResourceParam[Clock]
    ) -> dg.MaterializeResult[None]:
        from topo_pipeline.exports.targets import publish, target_of

        with as_dagster_failure():
            target = target_of(name, settings)
            size = publish(warehouse, target, now=clock())
        return dg.MaterializeResult(metadata={"target": target.place, **size})

    return published
