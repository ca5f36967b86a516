"""Asset checks, one step an asset: over everything landed, since a check of a partition says nothing of the others.

And one that asks Topo.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from topo_pipeline.defs.due import last_due_day
from topo_pipeline.defs.failures import one_sentence
from topo_pipeline.defs.names import ACTIVITIES
from topo_pipeline.defs.recorded import recorded_days
from topo_pipeline.defs.resources import Clock, Topo, Warehouse
from topo_pipeline.engagement.checks import Recorded, Verdict, checks_of, evaluate
from topo_pipeline.engagement.tables import tables
from topo_pipeline.settings import SettingsError
from topo_pipeline.topo_api.errors import TopoError

COUNTS = "topo_counts_what_landed"
# So many days Topo is asked for at most.
DAYS = 7


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
        now = clock()
        recorded = recorded_days(context.instance, now) if asset == ACTIVITIES else []
        for name, said in _evaluations(warehouse, table, now, recorded):
            if dg.AssetCheckKey(asset, name) in context.selected_asset_check_keys:
                yield dg.AssetCheckResult(asset_key=asset, check_name=name, **said)

    return check_table


def tell_of_activities(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    warehouse: Warehouse,
    clock: Clock,
    refused: Collection[date] = (),
) -> None:
    """Evaluate the activities' checks within a step that lands days, where the run has no step of their own."""
    now = clock()
    recorded = recorded_days(context.instance, now, refused)
    for name, said in _evaluations(warehouse, ".".join(ACTIVITIES.path), now, recorded):
        event = dg.AssetCheckEvaluation(asset_key=ACTIVITIES, check_name=name, **said)
        context.instance.report_runless_asset_event(event)
    if refused:
        unasked = Verdict(False, "WARN", "Can't be told: days were refused, and the run ended before Topo was asked.")
        event = dg.AssetCheckEvaluation(asset_key=ACTIVITIES, check_name=COUNTS, **evaluation(unasked))
        context.instance.report_runless_asset_event(event)


def _evaluations(
    warehouse: Warehouse, table: str, now: datetime, recorded: Sequence[Recorded]
) -> list[tuple[str, dict[str, Any]]]:
    with one_sentence(), warehouse.reader() as connection:
        verdicts = evaluate(connection, table, now=now, due=last_due_day(now), recorded=recorded)
        return [(check.name, evaluation(verdict)) for check, verdict in verdicts]


def evaluation(verdict: Verdict) -> dict[str, Any]:
    """A verdict as Dagster takes it."""
    told = {} if verdict.rows is None else {"rows": verdict.rows}
    return {
        "passed": verdict.passed,
        "severity": dg.AssetCheckSeverity[verdict.severity],
        "description": verdict.sentence,
        "metadata": told | {"examples": dg.MetadataValue.json(list(verdict.examples))},
    }


@dg.asset_check(
    asset=ACTIVITIES,
    name=COUNTS,
    pool="topo_api",
    description=f"Of the last {DAYS} days that are over, Topo counts what it counted when they landed.",
)
def topo_counts_what_landed(
    topo: dg.ResourceParam[Topo], warehouse: dg.ResourceParam[Warehouse], clock: dg.ResourceParam[Clock]
) -> dg.AssetCheckResult:
    """Ask Topo, and tell: a check that can't ask fails no run."""
    with one_sentence():
        return dg.AssetCheckResult(**evaluation(_counted(topo, warehouse, clock)))


def _counted(topo: Topo, warehouse: Warehouse, clock: Clock) -> Verdict:
    from topo_pipeline.counts import compare_counts

    last, timezone = last_due_day(clock()), topo.settings.timezone
    first = last - timedelta(days=DAYS - 1)
    try:
        found = compare_counts(topo.client, warehouse, first, last, clock=clock, timezone=timezone)
    except (SettingsError, TopoError) as error:
        return Verdict(False, "WARN", f"Can't be told: {error}")
    if not found.differences:
        return Verdict(True, "WARN", f"Topo was asked for {found.asked} days that had not just been read.", 0)
    days = tuple(f"{day} ({count:+})" for day, count in sorted(found.differences.items(), reverse=True))
    sentence = f"Topo counts otherwise than when they landed: {', '.join(days)}. Read these days again."
    return Verdict(False, "WARN", sentence, len(days), days)


table_checks = [_checks(key) for key in (ACTIVITIES, *(dg.AssetKey(["engagement", name]) for name in tables()))]
