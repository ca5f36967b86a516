"""Asset checks, one step an asset: over everything landed, since a check of a partition says nothing of the others."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import dagster as dg

from topo_pipeline.defs.failures import one_sentence
from topo_pipeline.defs.names import ACTIVITIES
from topo_pipeline.engagement.checks import Verdict, checks_of, evaluate
from topo_pipeline.engagement.tables import tables
from topo_pipeline.ingest import Clock
from topo_pipeline.warehouse.connection import Warehouse


def _checks(asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    """Every check of a table as one step, which opens the warehouse once."""
    table = ".".join(asset.path)

    @dg.multi_asset_check(
        name=f"{'__'.join(asset.path)}__checks",
        specs=[dg.AssetCheckSpec(check.name, asset=asset, description=check.holds) for check in checks_of(table)],
        pool="warehouse",
        can_subset=True,  # else the UI has no button for them
    )
    def check_table(
        context: dg.AssetCheckExecutionContext,
        warehouse: dg.ResourceParam[Warehouse],
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.AssetCheckResult]:
        for name, evaluation in _evaluations(warehouse, table, clock()):
            if dg.AssetCheckKey(asset, name) in context.selected_asset_check_keys:
                yield dg.AssetCheckResult(asset_key=asset, check_name=name, **evaluation)

    return check_table


def tell_of_activities(
    context: dg.AssetExecutionContext | dg.OpExecutionContext, warehouse: Warehouse, clock: Clock
) -> None:
    """Evaluate the activities' checks within a step that lands days, where the run has no step of their own."""
    for name, evaluation in _evaluations(warehouse, ".".join(ACTIVITIES.path), clock()):
        event = dg.AssetCheckEvaluation(asset_key=ACTIVITIES, check_name=name, **evaluation)
        context.instance.report_runless_asset_event(event)


def _evaluations(warehouse: Warehouse, table: str, now: datetime) -> list[tuple[str, dict[str, Any]]]:
    with one_sentence(), warehouse.reader() as connection:
        return [(check.name, _evaluation(verdict)) for check, verdict in evaluate(connection, table, now=now)]


def _evaluation(verdict: Verdict) -> dict[str, Any]:
    told = {} if verdict.rows is None else {"rows": verdict.rows}
    return {
        "passed": verdict.passed,
        "severity": dg.AssetCheckSeverity[verdict.severity],
        "description": verdict.sentence,
        "metadata": told | {"examples": dg.MetadataValue.json(list(verdict.examples))},
    }


table_checks = [_checks(key) for key in (ACTIVITIES, *(dg.AssetKey(["engagement", name]) for name in tables()))]
