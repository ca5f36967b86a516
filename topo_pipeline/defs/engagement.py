"""One asset for each metric table, made from its .sql file."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

import dagster as dg

from topo_pipeline.defs.columns import column_lineage, table_schema
from topo_pipeline.defs.due import EVERY_MORNING
from topo_pipeline.defs.failures import one_sentence
from topo_pipeline.defs.names import OWNERS
from topo_pipeline.defs.pages import description, links, picture_and_preview
from topo_pipeline.defs.partitions import daily, day_of, key_of
from topo_pipeline.defs.resources import Clock, Warehouse
from topo_pipeline.engagement import tables as metrics
from topo_pipeline.engagement.lineage import lineage
from topo_pipeline.settings import Settings
from topo_pipeline.warehouse.workspace import keep_to_timezone

# A table follows what landed, once nothing above it is being made; what failed above it holds nothing up.
# Not `any_deps_updated`: it passes over what a run landed that was to build the table too, and failed before that.
# Not `since_last_handled`: what lands just after a table was asked for would count as handled. These tell by the time.
_LANDED = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.newly_updated())
FOLLOW = (
    (
        _LANDED.since(dg.AutomationCondition.newly_updated()) & _LANDED.since(dg.AutomationCondition.newly_requested())
        | dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested())
    )
    & ~dg.AutomationCondition.in_progress()
    & ~dg.AutomationCondition.any_deps_in_progress()
).with_label("follows_what_landed")


class Build(dg.Config):
    """How an incremental table is built."""

    full_refresh: bool = False


def metric_tables(settings: Settings) -> list[dg.AssetsDefinition]:
    """The metric tables as assets; what they are made by under these settings is their code version."""
    return [_asset(table, settings) for table in metrics.tables().values()]


def _asset(table: metrics.MetricTable, under: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        key=["engagement", table.name],
        deps=[dg.AssetKey(path) for path in sorted(table.reads)],
        partitions_def=daily if table.is_daily else None,
        backfill_policy=dg.BackfillPolicy.single_run(),  # on all: dg launch takes a range only then
        group_name="engagement",
        kinds={"sql", "duckdb"},
        owners=OWNERS,
        pool="warehouse",
        code_version=table.fingerprint(under.rules, under.timezone),
        description=description(table),
        automation_condition=FOLLOW,
        freshness_policy=EVERY_MORNING,
        metadata=links(table, under),
    )
    def metric_table(
        context: dg.AssetExecutionContext,
        config: Build,
        warehouse: dg.ResourceParam[Warehouse],
        clock: dg.ResourceParam[Clock],
        settings: dg.ResourceParam[Settings],
    ) -> dg.MaterializeResult[None]:
        from topo_pipeline.defs.sentences import of_table
        from topo_pipeline.report.previews import look_at

        days = [day_of(key).day for key in context.partition_keys] if table.is_daily else []
        with one_sentence(), warehouse.transaction() as connection:
            began = clock()
            keep_to_timezone(connection, settings.timezone, now=began)
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
        about = (picture_and_preview(seen) if seen else {}) | _made_of(table, built, settings)
        if not table.is_daily:
            return dg.MaterializeResult(metadata=about | (seen.totals() if seen else {}))
        _record_days(context, built, days, seen.by_day() if seen else {}, about)
        return dg.MaterializeResult()

    return metric_table


def _made_of(table: metrics.MetricTable, built: metrics.Built, settings: Settings) -> dict[str, Any]:
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
    """Tell Dagster each day's rows and numbers, and with the last one what is to be told of the table.

    Once in a run: with each day of a year it would be as many charts. A day that never landed is not materialised, and
    the others are all the same.
    """
    never_landed = [str(day) for day in days if day not in built.rows_by_day]
    for day, rows in built.rows_by_day.items():
        metadata = {"dagster/partition_row_count": rows, **numbers.get(day, {})}
        if day == max(built.rows_by_day):
            metadata = {**about, **metadata}
        context.add_asset_metadata(metadata, partition_key=key_of(day))
        if never_landed:  # the run fails: no event of its end will tell
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=key_of(day), metadata=metadata))
    if never_landed:
        raise dg.Failure(f"Never landed: {', '.join(never_landed)}. Read them first.", allow_retries=False)
