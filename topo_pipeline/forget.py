"""Forget a person for good: rows and tables in one transaction, then the file.

What belongs here: the order of things. What does not: how rows are found (`warehouse.forgetting`), how tables are
built (`engagement.tables`), how a file is rid of what was deleted (`warehouse.compaction`).
"""

import uuid
from datetime import datetime

from topo_pipeline.engagement.rules import Rules
from topo_pipeline.engagement.tables import rebuild
from topo_pipeline.warehouse import forgetting
from topo_pipeline.warehouse.compaction import compact, require_compactable
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.forgetting import Trace
from topo_pipeline.warehouse.workspace import keep_to_timezone


def trace(warehouse: Warehouse, person_id: uuid.UUID) -> Trace:
    """Say what there is of a person, before it is erased.

    Raises:
        WarehouseError: there is nothing to forget, or the id is not a person's.
    """
    if not warehouse.path.exists():
        raise WarehouseError(f"There is no warehouse at {warehouse.path}: there is nobody to forget.")
    warehouse.prepare()
    with warehouse.reader() as connection:
        return forgetting.trace(connection, person_id)


def forget(warehouse: Warehouse, person_id: uuid.UUID, *, timezone: str, rules: Rules, now: datetime) -> Trace:
    """Erase a person from everything in the warehouse, and from the file's bytes; to do it again does no harm.

    Args:
        warehouse: Whose landed rows and tables.
        person_id: Topo's id of the contact.
        timezone: The reporting zone (IANA): the tables are built anew.
        rules: Those of the tables.
        now: Noted as the time of it.

    Returns:
        What there was of the person.

    Raises:
        NotCompacted: the rows are gone, their bytes may not be.
        WarehouseError: as `trace`; or the warehouse is of another time zone, or can't be written.
    """
    trace(warehouse, person_id)
    require_compactable(warehouse)
    with warehouse.transaction() as connection:
        keep_to_timezone(connection, timezone, now=now)
        erased = forgetting.erase(connection, person_id, now=now)
        rebuild(connection, timezone=timezone, rules=rules, now=now)
    compact(warehouse)
    return erased
