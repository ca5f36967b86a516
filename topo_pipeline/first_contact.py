"""The contract check of a workspace, kept in its warehouse.

What belongs here: when the check runs by itself, and that its result is kept. What is checked, and how, is in
`topo_api.contract`.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import astuple
from datetime import datetime

from anyio.from_thread import BlockingPortal

from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.contract import ContractResult, check_contract, has_sample, summary
from topo_pipeline.topo_api.reading import Window
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.contract_checks import (
    KeptResult,
    has_landed_activities,
    keep_contract_check,
    latest_contract_check,
)

_LOG = logging.getLogger(__name__)

DETAILS = "Details: topo-pipeline doctor --contract, and docs/operations.md, 'The contract check'."


def is_first_contact(warehouse: Warehouse) -> bool:
    """Return whether the warehouse, which exists, holds no activity yet."""
    with warehouse.reader() as connection:
        return not has_landed_activities(connection)


def check_and_keep(
    client: TopoClient,
    portal: BlockingPortal,
    warehouse: Warehouse,
    windows: Sequence[Window],
    clock: Callable[[], datetime],
) -> list[ContractResult]:
    """Check Topo's API and keep the result, as `keep` does.

    Args:
        client: The client; it must send nothing else at the same time.
        portal: Where the client lives.
        warehouse: Where the result is kept; it is made if there is none.
        windows: Days of which a sample may be taken, the preferred one first.
        clock: Now, with a time zone.

    Raises:
        TopoError: Topo can't be reached, or does not accept the key.
        WarehouseError: the warehouse can't be written.
    """
    results = portal.call(check_contract, client, windows, clock)
    keep(warehouse, results, clock())
    return results


def keep(warehouse: Warehouse, results: Sequence[ContractResult], checked_at: datetime) -> bool:
    """Keep the results of a check in the warehouse, which is made if there is none; return whether they were kept.

    A check that found no activities says nothing about the API, so it is not kept; an earlier one stays the latest.

    Raises:
        WarehouseError: the warehouse can't be written.
    """
    if not has_sample(results):
        return False
    with warehouse.transaction() as connection:
        keep_contract_check(connection, [KeptResult(*astuple(result)) for result in results], checked_at=checked_at)
    return True


def latest_summary(warehouse: Warehouse, since: datetime) -> str | None:
    """Return one line about the latest check, if there was one since an instant.

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
    client: TopoClient,
    portal: BlockingPortal,
    warehouse: Warehouse,
    windows: Sequence[Window],
    clock: Callable[[], datetime],
) -> None:
    """Check Topo's API as `check_and_keep` does, and log one line; a check that fails is no reason to end a load."""
    try:
        results = check_and_keep(client, portal, warehouse, windows, clock)
    except Exception as error:  # noqa: BLE001 - nobody knows what a first contact meets
        _LOG.warning("The contract check failed (%s): run topo-pipeline doctor --contract.", type(error).__name__)
        return
    level = logging.WARNING if any(result.outcome == "differs" for result in results) else logging.INFO
    _LOG.log(level, "%s", _sentence(results))
