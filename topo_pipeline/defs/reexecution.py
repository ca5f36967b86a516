"""A run that begins a failed one again: what that one landed is not read again."""

from collections.abc import Iterator, Sequence

import dagster as dg

from topo_pipeline.ingest import Day
from topo_pipeline.topo_api.windows import MARGIN
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import Load
from topo_pipeline.warehouse.ledger import landed_whole


def landed_before(
    instance: dg.DagsterInstance, run: dg.DagsterRun, warehouse: Warehouse, days: Sequence[Day]
) -> list[Load]:
    """The last load of each of `days` that the run which `run` begins again has landed, closed and proved.

    The ledger tells, not Dagster's records: a warehouse that was exchanged in between holds none of these loads, and a
    run that was killed between a commit and its event landed the day all the same.

    Raises:
        WarehouseError: the warehouse can't be used.
    """
    run_ids = list(_begun_again(instance, run))
    if not run_ids or not days:
        return []
    warehouse.prepare()
    with warehouse.reader() as connection:
        loads = landed_whole(connection, run_ids, days[0].day, days[-1].day)
    # A day of the same name that was cut in another time zone ends at another instant.
    ends = {day.day: day.window.end for day in days}
    return [
        load for load in loads if load.day in ends and ends[load.day] <= load.asked_before <= ends[load.day] + MARGIN
    ]


def _begun_again(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[str]:
    """The failed or cancelled run that `run` begins again, the one that this one did, and so on, by id.

    To begin a run again that succeeded is to want everything read again.
    """
    while run.parent_run_id and (parent := instance.get_run_by_id(run.parent_run_id)):
        if parent.status == dg.DagsterRunStatus.SUCCESS:
            return
        yield parent.run_id
        run = parent
