"""Asset checks: over every landed day, since a check of a partition says nothing of the others."""

import dagster as dg

from topo_pipeline.defs.failures import one_sentence
from topo_pipeline.defs.ingest import ACTIVITIES
from topo_pipeline.warehouse.connection import Warehouse

_DAYS_SHOWN = 10


@dg.asset_check(
    asset=ACTIVITIES,
    pool="warehouse",
    description="Every landed day was proved complete against Topo's own count (TOPO_COMPLETENESS=warn lands others).",
)
def every_day_is_proved(warehouse: dg.ResourceParam[Warehouse]) -> dg.AssetCheckResult:
    """Warn of days that were landed though what was received is not what Topo counts."""
    with one_sentence(), warehouse.reader() as connection:
        unproved = connection.execute("SELECT day FROM landed_days WHERE NOT proved ORDER BY day DESC").fetchall()
    days = [str(day) for (day,) in unproved]
    return dg.AssetCheckResult(
        passed=not days,
        severity=dg.AssetCheckSeverity.WARN,
        description=_sentence(days) if days else "Every landed day is proved complete.",
        metadata={"unproved_days": days},
    )


def _sentence(days: list[str]) -> str:
    more = f" and {len(days) - _DAYS_SHOWN} more" if len(days) > _DAYS_SHOWN else ""
    return (
        f"{len(days)} landed days are not proved complete: {', '.join(days[:_DAYS_SHOWN])}{more}."
        " Read them again; docs/operations.md says what else to do."
    )
