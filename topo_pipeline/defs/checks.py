"""Asset checks: one step per asset, over everything landed, and one check that compares counts with Topo.

The checks are not partitioned, because a check of one partition says nothing about the others.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from topo_pipeline.defs.due import last_due_day
from topo_pipeline.defs.failures import as_dagster_failure
from topo_pipeline.defs.names import ACTIVITIES
from topo_pipeline.defs.recorded import recorded_days
from topo_pipeline.defs.resources import Clock, Topo, Warehouse
from topo_pipeline.engagement.checks import Recorded, Verdict, checks_of, evaluate
from topo_pipeline.engagement.tables import tables
from topo_pipeline.settings import SettingsError
from topo_pipeline.topo_api.errors import TopoError

COUNTS = "topo_counts_what_landed"
# Days to compare with Topo.
DAYS = 7


def _checks(asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    """Return all checks of a table as one step, which opens the warehouse once."""
    table = ".".join(asset.path)

    @dg.multi_asset_check(
        name=f"{'__'.join(asset.path)}__checks",
        specs=[dg.AssetCheckSpec(check.name, asset=asset, description=check.holds) for check in checks_of(table)],
        pool="warehouse",
        can_subset=True,  # without it, the UI has no button to run single checks
    )
    def check_table(
        context: dg.AssetCheckExecutionContext,
        warehouse: dg.ResourceParam[Warehouse],
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.AssetCheckResult]:
        now = clock()
        recorded = recorded_days(context.instance, now) if asset == ACTIVITIES else []
        for name, result in _evaluations(warehouse, table, now, recorded):
            if dg.AssetCheckKey(asset, name) in context.selected_asset_check_keys:
                yield dg.AssetCheckResult(asset_key=asset, check_name=name, **result)

    return check_table


def report_activity_checks(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    warehouse: Warehouse,
    clock: Clock,
    refused: Collection[date] = (),
) -> None:
    """Evaluate the activities' checks within a step that lands days, for runs that don't reach or have their step."""
    now = clock()
    recorded = recorded_days(context.instance, now, refused)
    for name, result in _evaluations(warehouse, ".".join(ACTIVITIES.path), now, recorded):
        event = dg.AssetCheckEvaluation(asset_key=ACTIVITIES, check_name=name, **result)
        context.instance.report_runless_asset_event(event)
    if refused:
        unknown = Verdict(False, "WARN", "Unknown: days were refused, and the run ended before this comparison.")
        event = dg.AssetCheckEvaluation(asset_key=ACTIVITIES, check_name=COUNTS, **evaluation(unknown))
        context.instance.report_runless_asset_event(event)


def _evaluations(
    warehouse: Warehouse, table: str, now: datetime, recorded: Sequence[Recorded]
) -> list[tuple[str, dict[str, Any]]]:
    with as_dagster_failure(), warehouse.reader() as connection:
        verdicts = evaluate(connection, table, now=now, due=last_due_day(now), recorded=recorded)
        return [(check.name, evaluation(verdict)) for check, verdict in verdicts]


def evaluation(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as the arguments of Dagster's check results."""
    rows = {} if verdict.rows is None else {"rows": verdict.rows}
    return {
        "passed": verdict.passed,
        "severity": dg.AssetCheckSeverity[verdict.severity],
        "description": verdict.sentence,
        "metadata": rows | {"examples": dg.MetadataValue.json(list(verdict.examples))},
    }


@dg.asset_check(
    asset=ACTIVITIES,
    name=COUNTS,
    pool="topo_api",
    description=f"Topo's counts for the last {DAYS} complete days are the same as when these days landed.",
)
def topo_counts_what_landed(
    topo: dg.ResourceParam[Topo], warehouse: dg.ResourceParam[Warehouse], clock: dg.ResourceParam[Clock]
) -> dg.AssetCheckResult:
    """Compare counts with Topo. If Topo can't be reached, the check warns and the run does not fail."""
    with as_dagster_failure():
        return dg.AssetCheckResult(**evaluation(_counted(topo, warehouse, clock)))


def _counted(topo: Topo, warehouse: Warehouse, clock: Clock) -> Verdict:
    from topo_pipeline.ingest.counts import compare_counts

    last, timezone = last_due_day(clock()), topo.settings.timezone
    first = last - timedelta(days=DAYS - 1)
    try:
        found = compare_counts(topo.client, warehouse, first, last, clock=clock, timezone=timezone)
    except (SettingsError, TopoError) as error:
        return Verdict(False, "WARN", f"Could not be determined: {error}")
    if not found.differences:
        return Verdict(True, "WARN", f"Days compared: {found.asked}. Recently read days were skipped.", 0)
    days = tuple(f"{day} ({count:+})" for day, count in sorted(found.differences.items(), reverse=True))
    command = f"topo-pipeline backfill {min(found.differences)} {max(found.differences)}"
    sentence = f"Topo's counts have changed since these days landed: {', '.join(days)}. Read them again: {command}"
    return Verdict(False, "WARN", sentence, len(days), days)


table_checks = [_checks(key) for key in (ACTIVITIES, *(dg.AssetKey(["engagement", name]) for name in tables()))]
