"""One asset for each metric table, made from its .sql file."""

from typing import Any

import dagster as dg

from topo_pipeline.defs.failures import one_sentence
from topo_pipeline.defs.ingest import OWNERS
from topo_pipeline.defs.partitions import daily, day_of, key_of
from topo_pipeline.engagement import tables as metrics
from topo_pipeline.ingest import Clock
from topo_pipeline.report.leaderboard import leaderboard, leaderboard_markdown
from topo_pipeline.settings import Settings
from topo_pipeline.warehouse.connection import Warehouse

# A table follows what landed, once nothing above it is being made; what failed above it holds nothing up.
FOLLOW = (
    dg.AutomationCondition.any_deps_updated().since_last_handled()
    & ~dg.AutomationCondition.in_progress()
    & ~dg.AutomationCondition.any_deps_in_progress()
)


# What the asset's page shows of a table, beyond its columns and counts.
PREVIEWS = {
    "sequence_summary": lambda connection: {
        "preview": dg.MetadataValue.md(leaderboard_markdown(leaderboard(connection)))
    },
}


class Build(dg.Config):
    """How an incremental table is built."""

    full_refresh: bool = False


def _asset(table: metrics.MetricTable) -> dg.AssetsDefinition:
    @dg.asset(
        key=["engagement", table.name],
        deps=[dg.AssetKey(path) for path in sorted(table.reads)],
        partitions_def=daily if table.is_daily else None,
        backfill_policy=dg.BackfillPolicy.single_run(),  # on all: dg launch takes a range only then
        group_name="engagement",
        kinds={"sql", "duckdb"},
        owners=OWNERS,
        pool="warehouse",
        description=table.description,
        automation_condition=FOLLOW,
        metadata={"dagster/table_name": f"engagement.{table.name}"},
    )
    def metric_table(
        context: dg.AssetExecutionContext,
        config: Build,
        warehouse: dg.ResourceParam[Warehouse],
        clock: dg.ResourceParam[Clock],
        settings: dg.ResourceParam[Settings],
    ) -> dg.MaterializeResult[None]:
        days = [day_of(key).day for key in context.partition_keys] if table.is_daily else []
        with one_sentence(), warehouse.transaction() as connection:
            built = metrics.build(
                connection,
                table,
                timezone=settings.timezone,
                now=clock(),
                days=days,
                full_refresh=config.full_refresh,
            )
            preview = PREVIEWS[table.name](connection) if table.name in PREVIEWS else {}
        for day, rows in built.rows_by_day.items():
            context.add_asset_metadata({"dagster/partition_row_count": rows}, partition_key=key_of(day))
        return dg.MaterializeResult(metadata=_describe(built) | preview)

    return metric_table


def _describe(built: metrics.Built) -> dict[str, Any]:
    columns = [dg.TableColumn(column.name, column.type, column.comment) for column in built.columns]
    return {"dagster/row_count": built.rows, "dagster/column_schema": dg.TableSchema(columns)}


metric_tables = [_asset(table) for table in metrics.tables().values()]
