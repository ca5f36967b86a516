"""Open the warehouse, run one transaction, close it.

Only one process at a time can write a DuckDB file. So every connection lasts for one transaction, and a process that
finds the file in use retries with jitter. The SQL of this package uses only features that DuckLake has, so that
`ducklake:CATALOG` works in place of a file.
"""

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.common.retries import stamina
from topo_pipeline.common.text import first_line
from topo_pipeline.warehouse.errors import WarehouseError, WarehouseInUse
from topo_pipeline.warehouse.extensions import load
from topo_pipeline.warehouse.files import being_opened, put_new, temporary_folder
from topo_pipeline.warehouse.migrate import check, migrate
from topo_pipeline.warehouse.sql import SESSION, literal, reason_of

if TYPE_CHECKING:
    from topo_pipeline.warehouse.buffer import Buffer

LAKE_PREFIX = "ducklake:"
# DuckDB rewrites a whole row group for every change in it, and a day rarely fills one of the default size. A day that
# fills at least one is written directly to the file, a smaller one to the log first.
# Before storage v1.4.0 each checkpoint reads the metadata of all row groups, however little was written.
FILE_OPTIONS = "ROW_GROUP_SIZE 10_240, STORAGE_VERSION 'v1.4.0'"
# DuckDB's messages if another process, or another connection of this process, has the file open.
_LOCK_MESSAGES = ("Could not set lock on file", "Conflicting lock is held", "Unique file handle conflict")
_LOCK_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>.+?) \(PID (?P<process>\d+)\)")
# DuckDB instances of this process that can be used again. Each connection takes one out while it is open.
_IDLE: list[DuckDBPyConnection] = []
_ABANDONED: list[DuckDBPyConnection] = []
# The ledger's last row for each day. It can't be a view in the file: in topo.duckdb the catalog is called "topo" too,
# and DuckDB finds "topo.loads" ambiguous. A day is known if its load proved it and began after the day was over.
_LANDED_DAYS = """
CREATE OR REPLACE TEMP VIEW landed_days AS
SELECT *, proved AND NOT is_open AS is_known FROM topo.loads
QUALIFY row_number() OVER (PARTITION BY day ORDER BY finished_at DESC, load_id DESC) = 1
"""


@dataclass(frozen=True)
class Warehouse:
    """A DuckDB file (its path) or a DuckLake (`ducklake:` and its catalog), opened for each transaction.

    Raises:
        WarehouseError: from every method, if the warehouse can't be opened, written or read.
    """

    target: str  # the value of `TOPO_WAREHOUSE`
    wait_seconds: float = 60.0  # how long to wait for another process to close the file

    @property
    def is_lake(self) -> bool:
        """Whether the warehouse is a DuckLake."""
        return self.target.startswith(LAKE_PREFIX)

    @property
    def path(self) -> Path:
        """The DuckDB file, or the catalog file of the lake.

        Raises:
            WarehouseError: the path starts with `~`, and that user has no home directory.
        """
        path = Path(self.target.removeprefix(LAKE_PREFIX))
        try:
            return path.expanduser().absolute()
        except RuntimeError as error:
            raise WarehouseError(f"The warehouse {path} can't be opened: {error}") from error

    @contextmanager
    def transaction(self, buffer: "Buffer | None" = None) -> Iterator[DuckDBPyConnection]:
        """Yield a connection in one transaction on the newest schema. Everything is committed, or nothing.

        The connection has the view `landed_days`: the ledger row of the last load of each landed day. With `buffer`, it
        is the connection of that buffer, so that the buffer's rows can be landed.

        Raises:
            WarehouseError: as all methods; or the warehouse was written by a newer version.
        """
        with self._open(buffer) as connection, self._private_log():
            connection.begin()
            try:
                self._migrate(connection)
                yield connection
            except BaseException:  # also after an interruption the old day must remain
                _roll_back(connection)
                raise
            self._commit(connection)

    @contextmanager
    def reader(self, buffer: "Buffer | None" = None) -> Iterator[DuckDBPyConnection]:
        """Yield a read-only connection. `landed_days` and `buffer` are as in `transaction`.

        Raises:
            WarehouseError: as all methods; or there is no warehouse yet, or its schema is not current.
        """
        with self._open(buffer, read_only=True) as connection:
            check(connection)
            connection.execute(_LANDED_DAYS)
            yield connection

    def any_schema_reader(self) -> AbstractContextManager[DuckDBPyConnection]:
        """Yield a read-only connection without checking the schema version. No process can write while it is open."""
        return self._open(read_only=True)

    def exclusive(self) -> AbstractContextManager[DuckDBPyConnection]:
        """Yield a connection that locks others out, without a transaction and without checking the schema version."""
        return self._open()

    def prepare(self) -> None:
        """Create the warehouse if it is missing and update its schema, so that problems appear before any reading."""
        with self.transaction():
            pass

    def _migrate(self, connection: DuckDBPyConnection) -> None:
        try:
            migrate(connection)
            connection.execute(_LANDED_DAYS)
        except duckdb.CatalogException as error:
            raise WarehouseError(
                f"{self.path} has tables that were not created by topo-pipeline. Set TOPO_WAREHOUSE to another file"
                f" ({first_line(error)})."
            ) from error

    def _commit(self, connection: DuckDBPyConnection) -> None:
        try:
            connection.commit()
        except duckdb.Error as error:  # a full disk is no IOException here
            raise WarehouseError(f"The warehouse {self.path} can't be written: {reason_of(error)}") from error

    @contextmanager
    def _open(self, buffer: "Buffer | None" = None, *, read_only: bool = False) -> Iterator[DuckDBPyConnection]:
        with ExitStack() as held:
            self._require_file_or_folder(read_only=read_only)
            if buffer:
                connection = buffer.connection
                held.callback(_detach, connection)
            else:
                connection = held.enter_context(_connect(self._spill_folder(held)))
            try:
                self._attach(connection, read_only=read_only)
                yield connection
            except duckdb.IOException as error:
                raise WarehouseError(f"The warehouse {self.path} can't be used: {reason_of(error)}") from error

    def _require_file_or_folder(self, *, read_only: bool) -> None:
        """Require a file to read, or create the folder to write to."""
        try:
            if read_only and not self.path.exists():
                raise WarehouseError(
                    f"There is no warehouse at {self.path} yet: load a day first (topo-pipeline backfill DAY DAY)."
                )
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(f"The warehouse {self.path} can't be opened: {reason_of(error)}") from error

    def _spill_folder(self, held: ExitStack) -> Path:
        """Return a private folder next to the warehouse, to which DuckDB spills data that does not fit into memory."""
        try:
            return held.enter_context(temporary_folder(self.path, "spilling"))
        except OSError:  # the folder can't be written. DuckDB reports it if it needs to spill
            return Path(f"{self.path}.tmp")

    def _attach(self, connection: DuckDBPyConnection, *, read_only: bool) -> None:
        """Attach the warehouse as `warehouse`, waiting while another process or connection has it open."""
        if self.is_lake:
            load(connection, "ducklake")
        target = literal(f"{LAKE_PREFIX if self.is_lake else ''}{self.path}")
        options = "(READ_ONLY)" if read_only else "" if self.is_lake else f"({FILE_OPTIONS})"
        attach = f"ATTACH {target} AS warehouse {options}; USE warehouse"
        try:
            if not self.path.exists():
                self._create(connection)
            for attempt in stamina.retry_context(
                on=WarehouseInUse, attempts=None, timeout=self.wait_seconds, wait_initial=0.2, wait_max=5.0
            ):
                with attempt, being_opened(self.path), self._lock_errors_named():
                    connection.execute(attach)
        except (duckdb.Error, OSError) as error:
            raise WarehouseError(f"The warehouse {self.path} can't be opened: {reason_of(error)}") from error

    def _create(self, connection: DuckDBPyConnection) -> None:
        """Create a private file, and for a lake the private folder of its data.

        DuckDB would make both readable by everyone, and it does not accept an empty file. The warehouse's own folder
        follows the umask, because the report is published below it.
        """
        file = Path(os.path.realpath(self.path))  # the file that a link leads to
        # After an OSError, ATTACH creates the file or reports what is wrong.
        with suppress(OSError), temporary_folder(file, "creating") as aside:
            new = aside / file.name
            connection.execute(f"ATTACH {literal(str(new))} AS created ({FILE_OPTIONS}); DETACH created")
            if self.is_lake:
                Path(f"{self.path}.files").mkdir(mode=0o700, exist_ok=True)
            put_new(new, file)

    @contextmanager
    def _private_log(self) -> Iterator[None]:
        """Create the write-ahead log with the mode of the file: DuckDB would make it readable by everyone."""
        log = Path(f"{self.path}.wal")
        with suppress(OSError):  # DuckDB creates it instead
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.fchmod(descriptor, self.path.stat().st_mode & 0o666)
            os.close(descriptor)
        try:
            yield
        finally:
            with suppress(OSError):
                if not log.stat().st_size:  # nothing was written
                    log.unlink()

    @contextmanager
    def _lock_errors_named(self) -> Iterator[None]:
        """Turn DuckDB's multi-line lock errors into one sentence that names the process."""
        try:
            yield
        except duckdb.Error as error:
            if not any(words in str(error) for words in _LOCK_MESSAGES):
                raise
            holder = _LOCK_HOLDER.search(str(error))
            process = int(holder["process"]) if holder else None
            who = f"{Path(holder['program']).name} (process {process})" if holder else "another connection"
            raise WarehouseInUse(
                f"The warehouse {self.path} is in use by {who}: wait for it to finish, or close it", process=process
            ) from error


@contextmanager
def _connect(spill: Path) -> Iterator[DuckDBPyConnection]:
    """Yield a connection to a DuckDB instance that no other connection uses at the same time.

    Creating an instance takes 7 ms, loading DuckLake into it 0.7 s. So an instance is used again unless an error
    occurred. Only loaded extensions remain in it: temporary tables, macros, variables and session settings end with
    the connection, and the warehouse is detached.
    DuckDB spills data that does not fit into memory to the folder `spill`.
    """
    try:
        instance = _IDLE.pop()
    except IndexError:
        instance = duckdb.connect()
    connection = instance.cursor()
    try:
        connection.execute(f"{SESSION}; SET temp_directory = {literal(str(spill))}")
        yield connection
    except BaseException:
        connection.interrupt()  # otherwise closing waits for a query that an exception has left running
        connection.close()
        instance.close()
        raise
    connection.close()
    try:
        instance.execute("DETACH DATABASE IF EXISTS warehouse; SET temp_directory = ''")
    except duckdb.Error:  # it has spilled to the folder, which is removed now
        instance.close()
    else:
        _IDLE.append(instance)


def _abandon_instances() -> None:
    """After a fork, neither use nor close the parent's instances: their threads don't exist in this process."""
    _ABANDONED.extend(_IDLE)
    _IDLE.clear()


os.register_at_fork(after_in_child=_abandon_instances)


def _detach(connection: DuckDBPyConnection) -> None:
    """Detach the warehouse, unless it was never attached or DuckDB has already detached it after a fatal error."""
    with suppress(duckdb.Error):
        connection.execute("USE memory; DETACH warehouse")


def _roll_back(connection: DuckDBPyConnection) -> None:
    """Roll back the transaction, unless a failed COMMIT or a full disk has already ended it."""
    connection.interrupt()  # otherwise it waits for a query that an exception has left running
    with suppress(duckdb.TransactionException):
        connection.rollback()
