"""Open the warehouse, run one transaction, close it.

Every connection lasts for one transaction, so that other processes get their turn: a DuckDB file can be written by only
one process at a time. The SQL of this package uses only features that DuckLake has, so that it works in every place.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.common.text import first_line
from topo_pipeline.warehouse import instances
from topo_pipeline.warehouse.errors import WarehouseError, WriteConflict
from topo_pipeline.warehouse.migrate import check, migrate
from topo_pipeline.warehouse.places import LakeStorage, Place, WriteLock, place_at
from topo_pipeline.warehouse.sql import reason_of
from topo_pipeline.warehouse.transactions import interruptions_kept, undone_on_error, uninterrupted

if TYPE_CHECKING:
    from topo_pipeline.settings import Settings
    from topo_pipeline.warehouse.buffer import Buffer

WAIT_SECONDS = 60.0
# The ledger's last row for each day. It can't be a view in the file: in topo.duckdb the catalog is called "topo" too,
# and DuckDB finds "topo.loads" ambiguous. A day is known if its load proved it and began after the day was over.
_LANDED_DAYS = """
CREATE OR REPLACE TEMP VIEW landed_days AS
SELECT *, proved AND NOT is_open AS is_known FROM topo.loads
QUALIFY row_number() OVER (PARTITION BY day ORDER BY finished_at DESC, load_id DESC) = 1
"""


@dataclass(frozen=True)
class Warehouse:
    """A warehouse, opened for each transaction.

    Raises:
        WarehouseError: from every method, if the warehouse can't be opened, written or read.
    """

    target: str = field(repr=False)  # as in `TOPO_WAREHOUSE`; it may hold a password
    wait_seconds: float = WAIT_SECONDS  # how long to wait for another process to release the warehouse
    storage: LakeStorage | None = None  # of a shared lake

    @classmethod
    def of(cls, settings: "Settings", *, wait_seconds: float = WAIT_SECONDS) -> "Warehouse":
        """Return the warehouse of these settings."""
        storage = None
        if settings.lake_data_path is not None:
            storage = LakeStorage(settings.lake_data_path, settings.lake_schema, settings.aws_variables)
        return cls(settings.warehouse, wait_seconds, storage)

    @cached_property
    def place(self) -> Place:
        """Where it is stored."""
        return place_at(self.target, self.storage)

    @property
    def name(self) -> str:
        """What people read in messages. Holds no password."""
        return self.place.name

    def exists(self) -> bool:
        """Return whether there is a warehouse to read."""
        try:
            return self.place.exists()
        except OSError as error:
            raise WarehouseError(f"The warehouse {self.name} can't be opened: {reason_of(error)}") from error

    @contextmanager
    def transaction(self, buffer: "Buffer | None" = None) -> Iterator[DuckDBPyConnection]:
        """Yield a connection in one transaction on the newest schema. Everything is committed, or nothing.

        The connection has the view `landed_days`: the ledger row of the last load of each landed day. With `buffer`, it
        is the connection of that buffer, so that the buffer's rows can be landed.

        Raises:
            WarehouseError: as all methods; or the warehouse was written by a newer version.
        """
        with self._migrated(buffer) as (connection, lock):
            connection.execute(_LANDED_DAYS)
            yield connection
            lock.before_commit(connection)

    @contextmanager
    def reader(self, buffer: "Buffer | None" = None) -> Iterator[DuckDBPyConnection]:
        """Yield a read-only connection. `landed_days` and `buffer` are as in `transaction`.

        All statements see the warehouse as it is at one moment.

        Raises:
            WarehouseError: as all methods; or there is no warehouse yet, or its schema is not current.
        """
        with self._open(buffer, read_only=True) as connection:
            with undone_on_error(connection):
                check(connection)
                connection.execute(_LANDED_DAYS)
                yield connection
            connection.rollback()

    def any_schema_reader(self) -> AbstractContextManager[DuckDBPyConnection]:
        """Yield a read-only connection without checking the schema version. No process can write while it is open."""
        return self._open(read_only=True)

    @contextmanager
    def exclusive(self) -> Iterator[DuckDBPyConnection]:
        """Yield a connection that locks others out, without a transaction and without checking the schema version."""
        with self.place.write_lock(self.wait_seconds), self._open() as connection:
            yield connection

    def prepare(self) -> None:
        """Create the warehouse if it is missing and update its schema, so that problems appear before any reading."""
        with self._migrated():
            pass

    def compact(self) -> None:
        """Remove the bytes of deleted rows, while others wait.

        Raises:
            WarehouseError, duckdb.Error, OSError: some bytes remain.
        """
        with self.place.write_lock(self.wait_seconds) as lock, self._open() as connection:
            self.place.require_compactable(connection)
            self.place.compact(connection, lock, wait_seconds=self.wait_seconds)

    def maintain(self) -> None:
        """Do what the storage of a lake needs every night, while other writers wait."""
        with self.place.write_lock(self.wait_seconds) as lock, self._open() as connection:
            self.place.maintain(connection, lock)

    def replaced_copies(self) -> "list[Warehouse]":
        """Return the warehouses that `restore` has replaced and kept next to this one."""
        return [Warehouse(target, self.wait_seconds, storage) for target, storage in self.place.replaced_copies()]

    @contextmanager
    def _migrated(self, buffer: "Buffer | None" = None) -> Iterator[tuple[DuckDBPyConnection, WriteLock]]:
        """Yield a connection in a transaction that keeps other writers out, to a warehouse of the newest schema."""
        with (
            self.place.write_lock(self.wait_seconds) as lock,
            self._open(buffer) as connection,
            self.place.private_log(),
        ):
            with undone_on_error(connection):  # also after an interruption the old day must remain
                self._migrate(connection)
                yield connection, lock
            self._commit(connection)

    def _migrate(self, connection: DuckDBPyConnection) -> None:
        """Update the schema in transactions of their own, if it is not the newest, and begin another."""
        try:
            is_changed = migrate(connection)
            if not is_changed and self.place.is_arranged(connection):
                return
            self._commit(connection)
            self.place.arrange(connection)
            connection.begin()
        except duckdb.CatalogException as error:
            raise WarehouseError(
                f"{self.name} has tables that were not created by topo-pipeline. Set TOPO_WAREHOUSE to another place"
                f" ({first_line(error)})."
            ) from error

    def _commit(self, connection: DuckDBPyConnection) -> None:
        try:
            with uninterrupted():
                connection.commit()
        except duckdb.Error as error:  # a full disk is no IOException here
            if "conflict" in str(error).lower():
                raise WriteConflict(
                    f"Another process has written to {self.name} at the same time. This transaction was not committed:"
                    f" run the command again ({reason_of(error)})"
                ) from error
            raise WarehouseError(f"The warehouse {self.name} can't be written: {reason_of(error)}") from error

    @contextmanager
    def _open(self, buffer: "Buffer | None" = None, *, read_only: bool = False) -> Iterator[DuckDBPyConnection]:
        if read_only and not self.exists():
            raise WarehouseError(
                f"There is no warehouse at {self.name} yet. Read a day first: topo-pipeline backfill yesterday."
            )
        attachment = self.place.attachment(read_only=read_only)
        with interruptions_kept(), ExitStack() as held:
            if buffer:
                connection, is_attached = held.enter_context(buffer.lent(attachment))
            else:
                spill = held.enter_context(self.place.spilling())
                connection, is_attached = held.enter_context(instances.connected(spill, attachment))
            try:
                if not is_attached:
                    self.place.attach(connection, read_only=read_only, wait_seconds=self.wait_seconds)
                connection.execute("USE warehouse")
            except (duckdb.Error, OSError) as error:
                raise WarehouseError(f"The warehouse {self.name} can't be opened: {reason_of(error)}") from error
            try:
                yield connection
            except duckdb.Error as error:
                if not isinstance(error, duckdb.IOException) and not self.place.is_disconnected(error):
                    raise
                raise WarehouseError(f"The warehouse {self.name} can't be used: {reason_of(error)}") from error
