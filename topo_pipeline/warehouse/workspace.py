"""Keep the warehouse to one workspace and one reporting time zone: days of two can't stand beside each other.

Both functions run in the caller's transaction, before anything of a day is written.
"""

import uuid
from datetime import datetime
from typing import TYPE_CHECKING

from topo_pipeline.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def keep_to_timezone(connection: "DuckDBPyConnection", timezone: str, *, now: datetime) -> None:
    """Note the reporting zone (IANA) of a new warehouse; make sure that an old one's is meant.

    Raises:
        WarehouseError: its days were cut in another zone.
    """
    bound = connection.execute("SELECT timezone FROM topo.workspace").fetchone()
    if bound is None:
        connection.execute("INSERT INTO topo.workspace (timezone, bound_at) VALUES (?, ?)", [timezone, now])
    elif bound != (timezone,):
        raise WarehouseError(
            f"The days of this warehouse were cut in {bound[0]}, not in {timezone}: set TOPO_TIMEZONE={bound[0]}, or"
            " TOPO_WAREHOUSE to another file and read the days anew."
        )


def keep_to_organization(connection: "DuckDBPyConnection", organization_id: uuid.UUID) -> None:
    """Note the organization of a warehouse that has none yet; make sure that it is this one.

    Raises:
        WarehouseError: the warehouse holds another organization's activities.
    """
    bound = connection.execute("SELECT organization_id FROM topo.workspace").fetchone()
    if bound in {None, (None,)}:
        connection.execute("UPDATE topo.workspace SET organization_id = ?", [organization_id])
    elif bound != (organization_id,):
        raise WarehouseError(
            f"This warehouse holds organization {bound[0]}, and Topo answers for {organization_id}: use the former's"
            " key, or set TOPO_WAREHOUSE to another file."
        )
