"""One asset per metric table, built from its .sql file."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

import dagster as dg

from topo_pipeline.defs.columns import column_lineage, table_schema
from topo_pipeline.defs.due import EVERY_MORNING
from topo_pipeline.defs.failures import as_dagster_failure
from topo_pipeline.defs.names import OWNERS
from topo_pipeline.defs.pages import chart_and_preview, description, links
from topo_pipeline.defs.partitions import daily, day_of, key_of
from topo_pipeline.defs.resources import Clock, Warehouse
from topo_pipeline.engagement import tables as metrics
from topo_pipeline.engagement.lineage import lineage
from topo_pipeline.settings import Settings
from topo_pipeline.warehouse.workspace import bind_timezone

# A table is built after its upstream assets change, once none of them is in progress. Failed ones do not block it.
# Not `any_deps_updated`, which ignores days landed by a run that was to build the table too but failed first.
# Not `since_last_handled`, which counts days as handled that land just after the table was requested.
_LANDED = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.newly_updated())
FOLLOW = (
    (
        _LANDED.since(dg.AutomationCondition.newly_updated()) & _LANDED.since(dg.AutomationCondition.newly_requested())
        | dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested())
    )
    & ~dg.AutomationCondition.in_progress()
    & ~dg.AutomationCondition.any_deps_in_progress()
).with_label("follows_what_landed")


class BuildConfig(dg.Config):
    """How an incremental table is built."""

    full_refresh: bool = False


def metric_tables(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the metric tables as assets. Their code version covers the SQL and the settings it is built with."""
    return [_asset(table, settings) for table in metrics.tables().values()]


def _asset(table: metrics.MetricTable, definition_settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        key=["engagement", table.name],
        deps=[dg.AssetKey(path) for path in sorted(table.reads)],
        partitions_def=daily if table.is_daily else None,
        backfill_policy=dg.BackfillPolicy.single_run(),  # dg launch accepts a range only if every asset has it
        group_name="engagement",
        kinds={"sql", "duckdb"},
        owners=OWNERS,
        pool="warehouse",
        code_version=table.fingerprint(definition_settings.rules, definition_settings.timezone),
        description=description(table),
        automation_condition=FOLLOW,
        freshness_policy=EVERY_MORNING,
        metadata=links(table, definition_settings),
    )
    def metric_table(
        context: dg.AssetExecutionContext,
        config: BuildConfig,
        warehouse: dg.ResourceParam[Warehouse],
        clock: dg.ResourceParam[Clock],
        settings: dg.ResourceParam[Settings],
    ) -> dg.MaterializeResult[None]:
        from topo_pipeline.defs.sentences import of_table
        from topo_pipeline.report.previews import look_at

        days = [day_of(key).day for key in context.partition_keys] if table.is_daily else []
        with as_dagster_failure(), warehouse.transaction() as connection:
            began = clock()
            bind_timezone(connection, settings.timezone, now=began)
            built = metrics.build(
                connection,
                table,
                timezone=settings.timezone,
                now=began,
                rules=settings.rules,
                days=days,
                full_refresh=config.full_refresh,
            )
            seen = look_at(connection, table.name, settings.rules, days)
        context.log.info(of_table(table.name, built.rows, days, clock() - began))
        about = (chart_and_preview(seen) if seen else {}) | _table_metadata(table, built, settings)
        if not table.is_daily:
            return dg.MaterializeResult(metadata=about | (seen.totals() if seen else {}))
        _record_days(context, built, days, seen.by_day() if seen else {}, about)
        return dg.MaterializeResult()

    return metric_table


def _table_metadata(table: metrics.MetricTable, built: metrics.Built, settings: Settings) -> dict[str, Any]:
    return {
        "dagster/row_count": built.rows,
        "dagster/column_schema": table_schema(built.columns),
        "dagster/column_lineage": column_lineage(lineage(table)),
        "rules": dg.MetadataValue.json(asdict(settings.rules)),
    }


def _record_days(
    context: dg.AssetExecutionContext,
    built: metrics.Built,
    days: list[date],
    numbers: Mapping[date, Mapping[str, float]],
    about: Mapping[str, Any],
) -> None:
    """Record each day's rows and numbers in Dagster, and with the last day the table's metadata, which has a chart.

    Raises:
        dg.Failure: days never landed. The other days are recorded all the same.
    """
    never_landed = [str(day) for day in days if day not in built.rows_by_day]
    for day, rows in built.rows_by_day.items():
        metadata = {"dagster/partition_row_count": rows, **numbers.get(day, {})}
        if day == max(built.rows_by_day):
            metadata = {**about, **metadata}
        context.add_asset_metadata(metadata, partition_key=key_of(day))
        if never_landed:  # the step fails, so Dagster writes no materializations at its end
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=key_of(day), metadata=metadata))
    if never_landed:
        command = f"topo-pipeline backfill {never_landed[0]} {never_landed[-1]}"
        raise dg.Failure(f"Never landed: {', '.join(never_landed)}. Read them first: {command}", allow_retries=False)
