"""Run the contract check for a new warehouse and store its result there.

The check itself is in `topo_api.contract`.
"""

import logging
from collections.abc import Sequence
from dataclasses import astuple
from datetime import datetime

from anyio.from_thread import BlockingPortal

from topo_pipeline.days import Clock, Window
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.contract import ContractResult, check_contract, has_sample, summary
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.contract_checks import (
    StoredResult,
    has_landed_activities,
    latest_contract_check,
    store_contract_check,
)

_LOG = logging.getLogger(__name__)

DETAILS = "Details: topo-pipeline doctor --contract, and docs/operations.md, 'The contract check'."


def is_first_contact(warehouse: Warehouse) -> bool:
    """Return whether the existing warehouse has no activity yet."""
    with warehouse.reader() as connection:
        return not has_landed_activities(connection)


def keep(warehouse: Warehouse, results: Sequence[ContractResult], checked_at: datetime) -> bool:
    """Store the results of a check in the warehouse, creating it if needed, and return whether they were stored.

    A check that found no activities says nothing about the API. It is not stored, and an earlier one stays the latest.

    Raises:
        WarehouseError: the warehouse can't be written.
    """
    if not has_sample(results):
        return False
    with warehouse.transaction() as connection:
        store_contract_check(connection, [StoredResult(*astuple(result)) for result in results], checked_at=checked_at)
    return True


def latest_summary(warehouse: Warehouse, since: datetime) -> str | None:
    """Return one line about the latest check since an instant. None if there was none.

    Raises:
        WarehouseError: the warehouse can't be read.
    """
    with warehouse.reader() as connection:
        latest = latest_contract_check(connection)
    if latest is None or latest[0] < since:
        return None
    return _sentence([ContractResult(**vars(result)) for result in latest[1]])


def _sentence(results: Sequence[ContractResult]) -> str:
    return f"Contract check of Topo's API: {summary(results)}. {DETAILS}"


def check_after_the_first_day(
    client: TopoClient, portal: BlockingPortal, warehouse: Warehouse, windows: Sequence[Window], clock: Clock
) -> None:
    """Check Topo's API, store the result, and log one line. A failing check does not end the load.

    The client must send nothing else at the same time. `windows` are days to take the sample from, the
    preferred one first.
    """
    try:
        results = portal.call(check_contract, client, windows, clock)
        keep(warehouse, results, clock())
    except Exception as error:  # noqa: BLE001 - the first contact with an API can fail in any way
        _LOG.warning("The contract check failed (%s). Run topo-pipeline doctor --contract.", type(error).__name__)
        return
    level = logging.WARNING if any(result.outcome == "differs" for result in results) else logging.INFO
    _LOG.log(level, "%s", _sentence(results))
