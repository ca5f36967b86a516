"""Re-execution of a failed run: days that the failed run landed are not read again."""

from collections.abc import Iterator, Sequence

import dagster as dg

from topo_pipeline.days import Day
from topo_pipeline.topo_api.windows import MARGIN
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import Load
from topo_pipeline.warehouse.ledger import complete_loads


def landed_before(
    instance: dg.DagsterInstance, run: dg.DagsterRun, warehouse: Warehouse, days: Sequence[Day]
) -> list[Load]:
    """Return the last load of each of `days` that the run re-executed by `run` has landed, closed and proved.

    The loads come from the ledger, not from Dagster's records. The warehouse may have been replaced since then, and a
    run that was killed between a commit and its event has landed the day without a record.

    Raises:
        WarehouseError: the warehouse can't be used.
    """
    run_ids = list(_unsuccessful_ancestors(instance, run))
    if not run_ids or not days:
        return []
    warehouse.prepare()
    with warehouse.reader() as connection:
        loads = complete_loads(connection, run_ids, days[0].day, days[-1].day)
    # If TOPO_TIMEZONE has changed since then, the same date ends at another instant.
    ends = {day.day: day.window.end for day in days}
    return [
        load for load in loads if load.day in ends and ends[load.day] <= load.asked_before <= ends[load.day] + MARGIN
    ]


def _unsuccessful_ancestors(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[str]:
    """Yield the ids of the failed or cancelled runs that `run` re-executes, directly and indirectly, newest first.

    Stops at a run that succeeded: re-executing such a run means to read everything again.
    """
    while run.parent_run_id and (parent := instance.get_run_by_id(run.parent_run_id)):
        if parent.status == dg.DagsterRunStatus.SUCCESS:
            return
        yield parent.run_id
        run = parent
