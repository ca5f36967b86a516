"""What backups of every kind have in common."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse import erasure
from topo_pipeline.warehouse.catalogue import tables_of
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.erasure import ErasedSubjects, Trace
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.sql import identifier, reason_of


@dataclass(frozen=True)
class About:
    """The organization of a warehouse (None if nothing has landed) and its last landed day."""

    organization_id: uuid.UUID | None
    last_day: date | None


@dataclass(frozen=True)
class Restored:
    """The result of a restore."""

    about: About  # the organization and last day of the restored warehouse
    replaced: str | None  # the new path, or schema, of the warehouse that was in place; None if there was none
    erased: Trace  # the rows and runs of people erased since the backup, which were erased from the restored copy
    # Whether it is unknown who was erased since the backup: there was no warehouse, it could not be read, or it has no
    # table of erased subjects.
    erasures_unknown: bool


@contextmanager
def reported(failed: str) -> Iterator[None]:
    """Turn errors of files and DuckDB into a WarehouseError that starts with `failed`."""
    try:
        yield
    except OSError as error:
        raise WarehouseError(f"{failed}: {error.strerror or error}") from error
    except duckdb.Error as error:
        raise WarehouseError(f"{failed}: {reason_of(error)}") from error


def about_of(connection: DuckDBPyConnection) -> About:
    """Return the organization and last day of an attached warehouse, of any schema version."""
    organization, last_day, tables = None, None, tables_of(connection)
    if ("topo", "workspace") in tables:
        organization = connection.execute("SELECT organization_id FROM topo.workspace").fetchone()
    if ("topo", "loads") in tables:
        last_day = connection.execute("SELECT max(day) FROM topo.loads").fetchone()
    return About(organization[0] if organization else None, last_day[0] if last_day else None)


def organization_of(warehouse: Warehouse) -> uuid.UUID | None:
    """Return the organization of a warehouse of any schema version. None if it has none yet.

    Raises:
        WarehouseError: the warehouse can't be read.
    """
    with reported(f"{warehouse.name} can't be read"), warehouse.any_schema_reader() as connection:
        return about_of(connection).organization_id


def refuse_other_organization(current: About, backed_up: About) -> None:
    """Raise a WarehouseError if a backup and the warehouse that it would replace are of two organizations."""
    in_place, restored = current.organization_id, backed_up.organization_id
    if None not in {in_place, restored} and in_place != restored:
        raise WarehouseError(
            f"This is a backup of organization {restored}, but the warehouse holds {in_place}. To keep both, set"
            " TOPO_WAREHOUSE to another place."
        )


def erased_subjects_of(connection: DuckDBPyConnection) -> ErasedSubjects | None:
    """Return the erased subjects of an attached warehouse, or None if its schema version has no table of them."""
    return erasure.erased_subjects(connection) if ("topo", "forgotten") in tables_of(connection) else None


def verify_rows(copy: Warehouse, failed: str) -> None:
    """Read every column of every row.

    Raises:
        WarehouseError: a table can't be read. The message starts with `failed`.
    """
    with copy.any_schema_reader() as connection:
        for name in sorted(tables_of(connection)):
            table = ".".join(map(identifier, name))
            try:
                connection.execute(f"SELECT count(*), bit_xor(hash(it)) FROM {table} AS it").fetchall()  # noqa: S608
            except duckdb.Error as error:
                raise WarehouseError(
                    f"{failed}: the table {'.'.join(name)} can't be read ({reason_of(error)})"
                ) from error
