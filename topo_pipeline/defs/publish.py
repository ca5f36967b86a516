"""The assets that publish the current tables: the report, the Parquet export, and the targets that the settings name.

What they write is in `report` and `exports`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from topo_pipeline.defs import names
from topo_pipeline.defs.activities import list_assets
from topo_pipeline.defs.messages import ExplainedFailure, as_dagster_failure
from topo_pipeline.defs.resources import Clock, Warehouse
from topo_pipeline.engagement.tables import tables
from topo_pipeline.report.queries import READS
from topo_pipeline.settings import Settings

if TYPE_CHECKING:
    from topo_pipeline.report.page import Published

_DESCRIPTIONS = {
    "s3": "Every table as Parquet files in `TOPO_PUBLISH_S3`, below a `latest.json` that names the newest export.",
    "postgres": "Every table in the Postgres database `TOPO_PUBLISH_POSTGRES`, replaced in one transaction.",
    "iceberg": "Every table in the Iceberg catalog and namespace `TOPO_PUBLISH_ICEBERG`.",
}


def published_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the report, the Parquet export, and each target that the settings name, such as `publish/postgres`."""
    everything = [
        names.activities(settings),
        *list_assets(settings),
        *(names.asset_key(settings, "engagement", table) for table in tables()),
    ]

    def asset(name: str, compute: Callable[..., Any], reads: Sequence[dg.AssetKey], kind: str) -> dg.AssetsDefinition:
        return dg.asset(
            key=names.asset_key(settings, "publish", name),
            deps=reads,
            backfill_policy=dg.BackfillPolicy.single_run(),  # on all: dg launch takes a range only then
            group_name="publish",
            kinds={"duckdb", kind},
            owners=names.OWNERS,
            pool=names.pool(settings, "warehouse"),
            description=_DESCRIPTIONS.get(name, compute.__doc__),
        )(compute)

    return [
        asset("engagement_report", engagement_report, [names.asset_key(settings, *table) for table in READS], "html"),
        asset("parquet", parquet, everything, "parquet"),
        *(asset(target, _publisher(target), everything, target) for target in settings.targets),
    ]


def engagement_report(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    clock: dg.ResourceParam[Clock],
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    """The engagement report: one HTML file in `TOPO_REPORT_DIR`, written from the current tables."""
    metadata = about(write_report(warehouse, clock, settings))
    context.log_event(findings(metadata, settings))
    return dg.MaterializeResult(metadata=metadata)


def write_report(warehouse: Warehouse, clock: Clock, settings: Settings) -> "Published":
    """Write the report. That its folder can't be written is explained. Other errors of files keep their stack trace."""
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
                organization=settings.organization,
            )
    except OSError as error:
        if not is_about(settings.report_dir, error):
            raise
        raise ExplainedFailure(
            f"Could not write the report to {settings.report_dir} (TOPO_REPORT_DIR): {error.strerror}."
        ) from error


def is_about(folder: Path, error: OSError) -> bool:
    """Return whether the system refused something in the folder, in a folder above it, or in a file without a name.

    A full disk, for example, is reported without a name.
    """
    if error.errno is None or not isinstance(error.filename, str | None):
        return False
    refused, folder = Path(error.filename or folder).resolve(), folder.resolve()
    return refused.is_relative_to(folder) or folder.is_relative_to(refused)


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


def findings(metadata: Mapping[str, Any], settings: Settings) -> dg.AssetObservation:
    """Return what the report says to do, for the page of `sequence_summary`, which is built before the findings."""
    summary = names.asset_key(settings, "engagement", "sequence_summary")
    return dg.AssetObservation(summary, metadata={name: metadata[name] for name in ("do_this_week", "as_of", "open")})


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


def _publisher(name: str) -> Callable[..., dg.MaterializeResult[None]]:
    def published(
        warehouse: dg.ResourceParam[Warehouse], settings: dg.ResourceParam[Settings], clock: dg.ResourceParam[Clock]
    ) -> dg.MaterializeResult[None]:
        from topo_pipeline.exports.targets import publish, target_of

        with as_dagster_failure():
            target = target_of(name, settings)
            size = publish(warehouse, target, now=clock())
        return dg.MaterializeResult(metadata={"target": target.place, **size})

    return published
