"""Asset checks: one step per asset, over everything landed, and one check that compares counts with Topo.

The checks are not partitioned, because a check of one partition says nothing about the others.
"""

from collections.abc import Collection, Iterator
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from topo_pipeline.common.commands import pasteable
from topo_pipeline.days import backfill_commands, last_due_day
from topo_pipeline.defs import names
from topo_pipeline.defs.messages import as_dagster_failure
from topo_pipeline.defs.records import recorded_days
from topo_pipeline.defs.resources import Clock, Topo, Warehouse
from topo_pipeline.engagement.checks import checks_of
from topo_pipeline.engagement.tables import tables
from topo_pipeline.engagement.verdicts import Verdict, evaluate
from topo_pipeline.settings import Settings, SettingsError
from topo_pipeline.topo_api.errors import TopoError

COUNTS = "topo_counts_what_landed"
# Days to compare with Topo.
DAYS = 7


def _checks(asset: dg.AssetKey, own: Settings) -> dg.AssetChecksDefinition:
    """Return all checks of a table as one step, which opens the warehouse once."""

    @dg.multi_asset_check(
        name=f"{'__'.join(asset.path)}__checks",
        specs=[
            dg.AssetCheckSpec(check.name, asset=asset, description=check.holds)
            for check in checks_of(".".join(names.table_of(asset)))
        ],
        pool=names.pool(own, "warehouse"),
        can_subset=True,  # without it, the UI has no button to run single checks
    )
    def check_table(
        context: dg.AssetCheckExecutionContext,
        warehouse: dg.ResourceParam[Warehouse],
        clock: dg.ResourceParam[Clock],
        settings: dg.ResourceParam[Settings],
    ) -> Iterator[dg.AssetCheckResult]:
        for name, result in _evaluations(asset, warehouse, context.instance, clock(), settings=settings):
            if dg.AssetCheckKey(asset, name) in context.selected_asset_check_keys:
                yield dg.AssetCheckResult(asset_key=asset, check_name=name, **result)

    return check_table


def report_activity_checks(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    warehouse: Warehouse,
    clock: Clock,
    settings: Settings,
    refused: Collection[date] = (),
) -> None:
    """Evaluate the activities' checks within a step that lands days, for runs that don't reach or have their step."""
    asset = names.activities(settings)
    evaluations = _evaluations(asset, warehouse, context.instance, clock(), settings=settings, refused=refused)
    if refused:
        unknown = Verdict(False, "WARN", "Unknown: days were refused, and the run ended before this comparison.")
        evaluations.append((COUNTS, evaluation(unknown)))
    for name, result in evaluations:
        event = dg.AssetCheckEvaluation(asset_key=asset, check_name=name, **result)
        context.instance.report_runless_asset_event(event)


def _evaluations(
    asset: dg.AssetKey,
    warehouse: Warehouse,
    instance: dg.DagsterInstance,
    now: datetime,
    *,
    settings: Settings,
    refused: Collection[date] = (),
) -> list[tuple[str, dict[str, Any]]]:
    recorded = recorded_days(instance, now, settings, refused) if asset == names.activities(settings) else []
    due = last_due_day(now, settings.zone)
    with as_dagster_failure(), warehouse.reader() as connection:
        verdicts = evaluate(connection, checks_of(".".join(names.table_of(asset))), now=now, due=due, recorded=recorded)
        return [(check.name, evaluation(verdict)) for check, verdict in verdicts]


def evaluation(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as the arguments of Dagster's check results."""
    rows = {} if verdict.rows is None else {"rows": verdict.rows}
    return {
        "passed": verdict.passed,
        "severity": dg.AssetCheckSeverity[verdict.severity],
        "description": pasteable(verdict.sentence),
        "metadata": rows | {"examples": dg.MetadataValue.json(list(verdict.examples))},
    }


def topo_counts_what_landed(
    topo: dg.ResourceParam[Topo], warehouse: dg.ResourceParam[Warehouse], clock: dg.ResourceParam[Clock]
) -> dg.AssetCheckResult:
    """Compare counts with Topo. If Topo can't be reached, the check warns and the run does not fail."""
    with as_dagster_failure():
        return dg.AssetCheckResult(**evaluation(_counted(topo, warehouse, clock)))


def _counted(topo: Topo, warehouse: Warehouse, clock: Clock) -> Verdict:
    from topo_pipeline.ingest.counts import compare_counts

    last = last_due_day(clock(), topo.settings.zone)
    first = last - timedelta(days=DAYS - 1)
    try:
        found = compare_counts(topo.client, warehouse, first, last, clock=clock, timezone=topo.settings.timezone)
    except (SettingsError, TopoError) as error:
        return Verdict(False, "WARN", f"Could not be determined: {error}")
    if not found.differences:
        return Verdict(True, "WARN", f"Days compared: {found.asked}. Recently read days were skipped.", 0)
    days = tuple(f"{day} ({count:+})" for day, count in sorted(found.differences.items(), reverse=True))
    commands = "; ".join(backfill_commands(found.differences))
    sentence = f"Topo's counts have changed since these days landed: {', '.join(days)}. Read them again: {commands}"
    return Verdict(False, "WARN", sentence, len(days), days)


def asset_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """Return the checks of every table, and the one that compares with Topo."""
    tables_checked = [names.ACTIVITIES, *(("engagement", name) for name in tables())]
    return [
        dg.asset_check(
            asset=names.activities(settings),
            name=COUNTS,
            pool=names.pool(settings, "topo_api"),
            description=f"Topo's counts for the last {DAYS} complete days are the same as when these days landed.",
        )(topo_counts_what_landed),
        *(_checks(names.asset_key(settings, *table), settings) for table in tables_checked),
    ]
