"""Asset checks: over every landed day, since a check of a partition says nothing of the others."""

from typing import Any

import dagster as dg

from topo_pipeline.defs.failures import one_sentence
from topo_pipeline.defs.names import ACTIVITIES
from topo_pipeline.warehouse.connection import Warehouse

EVERY_DAY_IS_PROVED = "every_day_is_proved"
_DAYS_SHOWN = 10


@dg.asset_check(
    asset=ACTIVITIES,
    name=EVERY_DAY_IS_PROVED,
    pool="warehouse",
    description="Every landed day was proved complete against Topo's own count (TOPO_COMPLETENESS=warn lands others).",
)
def every_day_is_proved(warehouse: dg.ResourceParam[Warehouse]) -> dg.AssetCheckResult:
    """Warn of days that were landed though what was received is not what Topo counts."""
    with one_sentence():
        return dg.AssetCheckResult(**_evaluation(warehouse))


def tell_unproved_days(context: dg.AssetExecutionContext | dg.OpExecutionContext, warehouse: Warehouse) -> None:
    """Evaluate the check within a step that lands days, where the run has no step of the check's own."""
    evaluation = dg.AssetCheckEvaluation(asset_key=ACTIVITIES, check_name=EVERY_DAY_IS_PROVED, **_evaluation(warehouse))
    context.instance.report_runless_asset_event(evaluation)


def _evaluation(warehouse: Warehouse) -> dict[str, Any]:
    with warehouse.reader() as connection:
        unproved = connection.execute("SELECT day FROM landed_days WHERE NOT proved ORDER BY day DESC").fetchall()
    days = [str(day) for (day,) in unproved]
    return {
        "passed": not days,
        "severity": dg.AssetCheckSeverity.WARN,
        "description": _sentence(days) if days else "Every landed day is proved complete.",
        "metadata": {"unproved_days": dg.MetadataValue.json(days)},
    }


def _sentence(days: list[str]) -> str:
    more = f" and {len(days) - _DAYS_SHOWN} more" if len(days) > _DAYS_SHOWN else ""
    return (
        f"{len(days)} landed days are not proved complete: {', '.join(days[:_DAYS_SHOWN])}{more}."
        " Read them again; docs/operations.md says what else to do."
    )
