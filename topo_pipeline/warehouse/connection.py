"""Open the warehouse, do one transaction, close it.

A DuckDB file has one writing process at a time, so nobody holds a connection for longer than a transaction, and
whoever finds the file taken waits with jitter. SQL of this package stays within what DuckLake can do, so that
`ducklake:CATALOG` serves in the place of a file.
"""

import importlib.resources
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.retries import stamina
from topo_pipeline.warehouse.errors import WarehouseError, WarehouseInUse
from topo_pipeline.warehouse.files import being_opened, folder_aside, put_new
from topo_pipeline.warehouse.migrate import check, migrate

if TYPE_CHECKING:
    from topo_pipeline.warehouse.spool import Spool

LAKE_PREFIX = "ducklake:"
# Whatever is written into a row group has DuckDB write it anew, and a day is seldom as much as one of its usual size;
# a day of at least one goes straight into its place, where a smaller one is written to the log first.
# Before storage v1.4.0 each checkpoint reads what the file says of every row group, however little was written.
FILE_OPTIONS = "ROW_GROUP_SIZE 10_240, STORAGE_VERSION 'v1.4.0'"
# What DuckDB says where another process, or another connection of this one, has the file.
LOCKED = ("Could not set lock on file", "Conflicting lock is held", "Unique file handle conflict")
_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>.+?) \(PID (?P<process>\d+)\)")
# Instants are shown and cast in UTC; a name in SQL never means a Python variable; nothing is downloaded.
SESSION = "SET TimeZone = 'UTC'; SET python_enable_replacements = false; SET autoinstall_known_extensions = false"
# DuckDB instances that this process has used and that are in use no more; each thread takes one of its own.
_IDLE: list[DuckDBPyConnection] = []
_ABANDONED: list[DuckDBPyConnection] = []
# The ledger's last row for each day. Not a view in the file: topo.duckdb opened by its name is a catalog "topo", in
# which DuckDB finds "topo.loads" ambiguous.
_LANDED_DAYS = """
CREATE OR REPLACE TEMP VIEW landed_days AS
SELECT * FROM topo.loads
QUALIFY row_number() OVER (PARTITION BY day ORDER BY finished_at DESC, load_id DESC) = 1
"""


@dataclass(frozen=True)
class Warehouse:
    """A DuckDB file (its path) or a DuckLake (`ducklake:` and its catalog), opened anew for each transaction.

    Attributes:
        target: what `TOPO_WAREHOUSE` says.
        wait_seconds: how long a writer waits for another process to let go of the file.
    """

    target: str
    wait_seconds: float = 60.0

    @property
    def is_lake(self) -> bool:
        """Whether the warehouse is a DuckLake."""
        return self.target.startswith(LAKE_PREFIX)

    @property
    def path(self) -> Path:
        """The DuckDB file, or the catalog file of the lake.

        Raises:
            WarehouseError: it lies in the home of somebody who has none.
        """
        path = Path(self.target.removeprefix(LAKE_PREFIX))
        try:
            return path.expanduser().absolute()
        except RuntimeError as error:
            raise WarehouseError(f"The warehouse {path} can't be opened: {error}") from error

    @contextmanager
    def transaction(self, beside: "Spool | None" = None) -> Iterator[DuckDBPyConnection]:
        """Yield a connection in one transaction on the newest schema; all of it is committed, or nothing.

        The connection also knows `landed_days`: each landed day with the ledger's row of its last load. It is the
        spool's own where the warehouse is opened beside one.

        Raises:
            WarehouseError: the warehouse can't be opened or written, or was made by a newer version.
        """
        with self._open(beside) as connection, self._private_log():
            connection.begin()
            try:
                self._bring_up_to_date(connection)
                yield connection
            except BaseException:  # an interruption too must leave the old day, and goes on its way
                _roll_back(connection)
                raise
            self._commit(connection)

    @contextmanager
    def reader(self, beside: "Spool | None" = None) -> Iterator[DuckDBPyConnection]:
        """Yield a connection that can't write; `landed_days` and a spool are as in a transaction.

        Raises:
            WarehouseError: there is no warehouse yet, or it can't be opened.
        """
        with self._open(beside, read_only=True) as connection:
            check(connection)
            connection.execute(_LANDED_DAYS)
            yield connection

    @contextmanager
    def as_it_is(self) -> Iterator[DuckDBPyConnection]:
        """Yield a connection that can't write, on whatever schema there is; nobody writes while it is open.

        Raises:
            WarehouseError: there is no warehouse yet, or it can't be opened.
        """
        with self._open(read_only=True) as connection:
            yield connection

    @contextmanager
    def exclusive(self) -> Iterator[DuckDBPyConnection]:
        """Yield a connection that keeps everybody else out, in no transaction and on whatever schema there is.

        Raises:
            WarehouseError: the warehouse can't be opened or written.
        """
        with self._open() as connection:
            yield connection

    def prepare(self) -> None:
        """Make the warehouse where there is none and bring its schema up to date: fails before any reading."""
        with self.transaction():
            pass

    def _bring_up_to_date(self, connection: DuckDBPyConnection) -> None:
        try:
            migrate(connection)
            connection.execute(_LANDED_DAYS)
        except duckdb.CatalogException as error:
            raise WarehouseError(
                f"{self.path} holds tables of another making, set TOPO_WAREHOUSE to another file: {first_line(error)}"
            ) from error

    def _commit(self, connection: DuckDBPyConnection) -> None:
        try:
            connection.commit()
        except duckdb.Error as error:  # a full disk is no IOException here
            raise WarehouseError(f"The warehouse {self.path} can't be written: {first_line(error)}") from error

    @contextmanager
    def _open(self, beside: "Spool | None" = None, *, read_only: bool = False) -> Iterator[DuckDBPyConnection]:
        with ExitStack() as held:
            self._find(read_only=read_only)
            if beside:
                connection = beside.connection
                held.callback(_detach, connection)
            else:
                connection = held.enter_context(_connected(self._spill(held)))
            try:
                self._attach(connection, read_only=read_only)
                yield connection
            except duckdb.IOException as error:
                raise WarehouseError(f"The warehouse {self.path} can't be used: {first_line(error)}") from error

    def _find(self, *, read_only: bool) -> None:
        """Make sure that there is something to read, or a folder to write in."""
        try:
            if read_only and not self.path.exists():
                raise WarehouseError(f"There is no warehouse at {self.path} yet: load a day first.")
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(f"The warehouse {self.path} can't be opened: {first_line(error)}") from error

    def _spill(self, held: ExitStack) -> Path:
        """Return the folder for what memory can't hold: a private one, next to the warehouse."""
        try:
            return held.enter_context(folder_aside(self.path, "spilling"))
        except OSError:  # a folder that can't be written: DuckDB says so, if it ever needs it
            return Path(f"{self.path}.tmp")

    def _attach(self, connection: DuckDBPyConnection, *, read_only: bool) -> None:
        """Attach the warehouse under a name of its own, waiting while somebody else has it."""
        if self.is_lake:
            connection.load_extension(str(_lake_extension()))
        target = literal(f"{LAKE_PREFIX if self.is_lake else ''}{self.path}")
        options = "(READ_ONLY)" if read_only else "" if self.is_lake else f"({FILE_OPTIONS})"
        attach = f"ATTACH {target} AS warehouse {options}; USE warehouse"
        try:
            if not self.path.exists():
                self._create(connection)
            for attempt in stamina.retry_context(
                on=_is_locked, attempts=None, timeout=self.wait_seconds, wait_initial=0.2, wait_max=5.0
            ):
                with attempt, being_opened(self.path):
                    connection.execute(attach)
        except (duckdb.Error, OSError) as error:
            if _is_locked(error):
                raise self._in_use(error) from error
            raise WarehouseError(f"The warehouse {self.path} can't be opened: {first_line(error)}") from error

    def _create(self, connection: DuckDBPyConnection) -> None:
        """Create a private file, and for a lake the private folder of its data.

        DuckDB creates both for everybody to read, and takes no empty file for a database. The folder of the warehouse
        follows the umask: the report is published below it.
        """
        file = Path(os.path.realpath(self.path))  # the file that a link leads to
        with (
            suppress(OSError),
            folder_aside(file, "creating") as aside,
        ):  # DuckDB then says what is wrong, or creates it
            new = aside / file.name
            connection.execute(f"ATTACH {literal(str(new))} AS created ({FILE_OPTIONS}); DETACH created")
            if self.is_lake:
                Path(f"{self.path}.files").mkdir(mode=0o700, exist_ok=True)
            put_new(new, file)

    @contextmanager
    def _private_log(self) -> Iterator[None]:
        """Create the write-ahead log with the mode of the file: DuckDB would create it for everybody to read."""
        log = Path(f"{self.path}.wal")
        with suppress(OSError):  # DuckDB then creates it
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.fchmod(descriptor, self.path.stat().st_mode & 0o666)
            os.close(descriptor)
        try:
            yield
        finally:
            with suppress(OSError):
                if not log.stat().st_size:  # nothing was written
                    log.unlink()

    def _in_use(self, error: Exception) -> WarehouseInUse:
        holder = _HOLDER.search(str(error))
        process = int(holder["process"]) if holder else None
        who = f"{Path(holder['program']).name} (process {process})" if holder else "another connection"
        return WarehouseInUse(
            f"The warehouse {self.path} can't be opened: {who} has it, wait for that to end or close it.",
            process=process,
        )


def literal(text: str) -> str:
    """Quote a text for a statement that can't have it bound."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Quote a name for a statement."""
    return '"' + name.replace('"', '""') + '"'


def _lake_extension() -> Path:
    """Find DuckLake's extension in its own package: a network that INSTALL needs may not be there."""
    try:
        package = importlib.resources.files("duckdb_extension_ducklake")
    except ModuleNotFoundError:
        raise WarehouseError("A ducklake: warehouse needs the extra: pip install 'topo-pipeline[lake]'.") from None
    return Path(str(package / "extensions" / f"v{duckdb.__version__}" / "ducklake.duckdb_extension"))


def _is_locked(error: Exception) -> bool:
    return isinstance(error, WarehouseInUse) or (
        isinstance(error, duckdb.Error) and any(words in str(error) for words in LOCKED)
    )


@contextmanager
def _connected(spill: Path) -> Iterator[DuckDBPyConnection]:
    """Yield a connection to a DuckDB instance that nobody else uses meanwhile.

    To create an instance takes 7 ms, to load DuckLake into it 0.7 s: one that was used without a fault is used again.
    Nothing but loaded extensions is left in it: temporary tables, macros, variables and settings of the session end
    with the connection, and the warehouse is detached.

    Args:
        spill: The folder for what memory can't hold.
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
        connection.interrupt()  # else closing waits for a query that an exception has left running
        connection.close()
        instance.close()
        raise
    connection.close()
    try:
        instance.execute("DETACH DATABASE IF EXISTS warehouse; SET temp_directory = ''")
    except duckdb.Error:  # it has put something into the folder, which is removed now
        instance.close()
    else:
        _IDLE.append(instance)


def _abandon_instances() -> None:
    """Use none of the parent's instances after a fork, nor close them: their threads are not in this process."""
    _ABANDONED.extend(_IDLE)
    _IDLE.clear()


os.register_at_fork(after_in_child=_abandon_instances)


def _detach(connection: DuckDBPyConnection) -> None:
    """Let go of the warehouse, where it was had at all; of one that DuckDB has given up, it has let go itself."""
    with suppress(duckdb.Error):
        connection.execute("USE memory; DETACH warehouse")


def _roll_back(connection: DuckDBPyConnection) -> None:
    """Undo what is open; a failed COMMIT or a full disk has already ended the transaction."""
    connection.interrupt()  # else it waits for a query that an exception has left running
    with suppress(duckdb.TransactionException):
        connection.rollback()


def first_line(error: Exception) -> str:
    """What DuckDB says without what it adds: a link, a candidate, the statement."""
    return str(error).strip().partition("\n")[0]
