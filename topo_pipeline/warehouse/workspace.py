"""Bind a warehouse to one workspace and one reporting time zone: the days of two can't be mixed.

Binding runs in the caller's transaction, before any row of a day is written.
"""

import uuid
from datetime import datetime
from typing import TYPE_CHECKING

from topo_pipeline.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def bind_timezone(connection: "DuckDBPyConnection", timezone: str, *, now: datetime) -> None:
    """Record the reporting time zone (IANA) of a new warehouse, or require that an existing one has the same.

    Raises:
        WarehouseError: the days of the warehouse start at midnight of another zone.
    """
    bound = connection.execute("SELECT timezone FROM topo.workspace").fetchone()
    if bound is None:
        connection.execute("INSERT INTO topo.workspace (timezone, bound_at) VALUES (?, ?)", [timezone, now])
    elif bound != (timezone,):
        raise WarehouseError(
            f"The days of this warehouse are in time zone {bound[0]}, not {timezone}. Set TOPO_TIMEZONE={bound[0]}, or"
            " set TOPO_WAREHOUSE to another file and load the days again."
        )


def bind_organization(connection: "DuckDBPyConnection", organization_id: uuid.UUID) -> None:
    """Record the organization of a warehouse that has none yet, or require that it is the same.

    Raises:
        WarehouseError: the warehouse holds another organization's activities.
    """
    bound = organization_of(connection)
    if bound is None:
        connection.execute("UPDATE topo.workspace SET organization_id = ?", [organization_id])
    elif bound != organization_id:
        raise WarehouseError(
            f"This warehouse holds organization {bound}, but the API key belongs to {organization_id}. Use a key of"
            f" {bound}, or set TOPO_WAREHOUSE to another file."
        )


def organization_of(connection: "DuckDBPyConnection") -> uuid.UUID | None:
    """Return the organization of the warehouse, or None while it has none."""
    found = connection.execute("SELECT organization_id FROM topo.workspace").fetchone()
    return found[0] if found else None
