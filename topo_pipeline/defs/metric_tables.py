"""One asset per metric table, built from its .sql file, and what its page in the UI shows.

The page's links, first rows and columns belong here. The SQL, its lineage and its checks are in `engagement`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg

from topo_pipeline.days import backfill_commands
from topo_pipeline.defs import names
from topo_pipeline.defs.messages import ExplainedFailure, as_dagster_failure, table_line
from topo_pipeline.defs.partitions import daily_partitions, every_morning
from topo_pipeline.defs.resources import Clock, Warehouse
from topo_pipeline.engagement import building
from topo_pipeline.engagement import tables as metrics
from topo_pipeline.engagement.lineage import lineage
from topo_pipeline.settings import Settings
from topo_pipeline.warehouse.catalogue import Column
from topo_pipeline.warehouse.workspace import bind_timezone


class BuildConfig(dg.Config):
    """How an incremental table is built."""

    full_refresh: bool = False


def metric_tables(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the metric tables as assets. Their code version covers the SQL and the settings it is built with."""
    return [_asset(table, settings) for table in metrics.tables().values()]


def _asset(table: metrics.MetricTable, settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        key=names.asset_key(settings, "engagement", table.name),
        deps=[names.asset_key(settings, *path) for path in sorted(table.reads)],
        partitions_def=daily_partitions(settings) if table.is_daily else None,
        backfill_policy=dg.BackfillPolicy.single_run(),  # dg launch accepts a range only if every asset has it
        group_name="engagement",
        kinds={"sql", "duckdb"},
        owners=names.OWNERS,
        pool=names.pool(settings, "warehouse"),
        code_version=table.fingerprint(settings.rules, settings.timezone),
        description=description(table, settings),
        freshness_policy=every_morning(settings.timezone),
        metadata=links(table, settings),
    )
    def metric_table(
        context: dg.AssetExecutionContext,
        config: BuildConfig,
        warehouse: dg.ResourceParam[Warehouse],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[None]:
        from topo_pipeline.report.previews import look_at

        asked = [date.fromisoformat(key) for key in context.partition_keys] if table.is_daily else []
        with as_dagster_failure(), warehouse.transaction() as connection:
            began = clock()
            bind_timezone(connection, settings.timezone, now=began)
            before = building.built_days(connection, table.name) if table.is_daily else ()
            built = building.build(
                connection,
                table,
                timezone=settings.timezone,
                now=began,
                rules=settings.rules,
                days=[*asked, *_unrecorded(context, before, settings)],
                full_refresh=config.full_refresh,
            )
            days = sorted(built.rows_by_day)
            seen = look_at(connection, table.name, settings.rules, days)
        context.log.info(table_line(table.name, built.rows, days, clock() - began))
        if built.was_outdated:
            reason = "its definition has changed or a table that it reads was rebuilt"
            context.log.info(f"{table.name}: rebuilt from scratch, because {reason}")
        preview = {"preview": dg.MetadataValue.md(seen.preview())} if seen else {}
        about = preview | _table_metadata(table, built, settings)
        if not table.is_daily:
            return dg.MaterializeResult(metadata=about | (seen.totals() if seen else {}))
        _record_days(context, built, asked, seen.by_day() if seen else {}, about)
        return dg.MaterializeResult()

    return metric_table


def _unrecorded(context: dg.AssetExecutionContext, built: Iterable[date], settings: Settings) -> list[date]:
    """Return the built days that Dagster's records lack, as after its home was lost."""
    days = [day for day in built if day >= settings.start_date]
    recorded = context.instance.get_materialized_partitions(context.asset_key) if days else ()
    return [day for day in days if str(day) not in recorded]


def _table_metadata(table: metrics.MetricTable, built: building.Built, settings: Settings) -> dict[str, Any]:
    return {
        "dagster/row_count": built.rows,
        "dagster/column_schema": table_schema(built.columns),
        "dagster/column_lineage": column_lineage(lineage(table), settings),
        "rules": dg.MetadataValue.json(asdict(settings.rules)),
    }


def _record_days(
    context: dg.AssetExecutionContext,
    built: building.Built,
    asked: list[date],
    numbers: Mapping[date, Mapping[str, float]],
    about: Mapping[str, Any],
) -> None:
    """Record each built day's rows and numbers in Dagster, and with the last asked day the table's metadata.

    Raises:
        ExplainedFailure: asked days never landed. The other days are recorded all the same.
    """
    never_landed = [day for day in asked if day not in built.rows_by_day]
    last = max(set(asked) - set(never_landed), default=None)
    for day, rows in built.rows_by_day.items():
        metadata = {"dagster/partition_row_count": rows, **numbers.get(day, {})}
        if day == last:
            metadata = {**about, **metadata}
        if day in asked and not never_landed:  # Dagster writes its materialization at the end of the step
            context.add_asset_metadata(metadata, partition_key=str(day))
        else:
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=str(day), metadata=metadata))
    if never_landed:
        missing, commands = ", ".join(map(str, never_landed)), "; ".join(backfill_commands(never_landed))
        raise ExplainedFailure(f"Never landed: {missing}. Read them first: {commands}")


PACKAGE = Path(__file__).parents[1]
_INSTALLED, _CHECKED_OUT = (folder / "docs" / "metrics.md" for folder in (PACKAGE, PACKAGE.parent))
DOCS = _INSTALLED if _INSTALLED.exists() else _CHECKED_OUT  # a wheel built without the folder docs has neither


def description(table: metrics.MetricTable, settings: Settings) -> str:
    """Return the table's description with links to its last build, which is far below, the findings and the report.

    The findings are of all tables together, so they belong to the report and not to one of the tables.
    """
    path = "/".join(names.asset_key(settings, "engagement", table.name).path)
    built = f"[First rows and figures](/assets/{path}?view=events)"
    report = "/".join(names.asset_key(settings, "publish", "engagement_report").path)
    links = [built, f"[Do this week](/assets/{report}?view=events)"]
    if settings.report_url:
        links.append(f"[The report]({settings.report_url})")
    return f"{table.description}\n\n{' · '.join(links)}"


def links(table: metrics.MetricTable, settings: Settings) -> dict[str, Any]:
    """Return the definition metadata: the table's name, and links to the report, the SQL and the documentation."""
    sql = _source(PACKAGE / "engagement" / f"{table.name}.sql", 1, "the SQL")
    report = settings.report_dir / "engagement_report.html"
    return {
        "report": dg.MetadataValue.url(settings.report_url) if settings.report_url else dg.MetadataValue.path(report),
        **table_links(f"engagement.{table.name}", sql),
    }


def table_links(name: str, *sources: dg.LocalFileCodeReference) -> dict[str, Any]:
    """Return the definition metadata of any table: its name, and links to `sources` and its documentation."""
    line = _heading_lines().get(f"### {name}")
    references = [*sources, *([_source(DOCS, line, "docs/metrics.md")] if line else [])]
    links = {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=list(references))}
    return {"dagster/table_name": name, **(links if references else {})}


def _source(path: Path, line: int, label: str) -> dg.LocalFileCodeReference:
    return dg.LocalFileCodeReference(file_path=str(path), line_number=line, label=label)


@cache
def _heading_lines() -> dict[str, int]:
    """Return the line number of each heading of the documentation, counted from 1."""
    if not DOCS.exists():
        return {}
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    return {line: number for number, line in enumerate(lines, start=1) if line.startswith("#")}


def table_schema(columns: Iterable[Column]) -> dg.TableSchema:
    """Return the value of `dagster/column_schema` for a table."""
    return dg.TableSchema([dg.TableColumn(column.name, column.type, column.comment) for column in columns])


def column_lineage(origins: Mapping[str, Iterable[tuple[str, str, str]]], settings: Settings) -> dg.TableColumnLineage:
    """Return the value of `dagster/column_lineage`: for each column, its origins as (schema, table, column)."""
    return dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(names.asset_key(settings, schema, table), name)
                for schema, table, name in sorted(sources)
            ]
            for column, sources in origins.items()
        }
    )
