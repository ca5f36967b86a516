"""Warehouses on this machine: a DuckDB file, and a lake whose catalog is a DuckDB file with a data folder next to it.

DuckDB's own lock on the file keeps other processes out.
"""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.common.processes import program_of
from topo_pipeline.common.retries import stamina
from topo_pipeline.warehouse import extensions
from topo_pipeline.warehouse.errors import WarehouseError, WarehouseInUse
from topo_pipeline.warehouse.files import being_opened, can_be_written, logs_of, put_in_place, put_new, temporary_folder
from topo_pipeline.warehouse.places import lake
from topo_pipeline.warehouse.places.place import LAKE_PREFIX, LakeStorage, Place, WriteLock
from topo_pipeline.warehouse.sql import literal

# DuckDB rewrites a whole row group for every change in it, and a day rarely fills one of the default size. A day that
# fills at least one is written directly to the file, a smaller one to the log first.
# Before storage v1.4.0 each checkpoint reads the metadata of all row groups, however little was written.
_FILE_OPTIONS = "ROW_GROUP_SIZE 10_240, STORAGE_VERSION 'v1.4.0'"
# DuckDB's messages if another process, or another connection of this process, has the file open.
_LOCK_MESSAGES = ("Could not set lock on file", "Conflicting lock is held", "Unique file handle conflict")
_LOCK_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>.+?) \(PID (?P<process>\d+)\)")
_REPLACED = r"{}\.replaced-\d{{8}}T\d{{6}}Z"


@dataclass(frozen=True)
class File(Place):
    """A DuckDB file."""

    path: Path  # absolute

    @classmethod
    def at(cls, path: str) -> Self:
        """Return the place at a path, which may be relative or start with `~`.

        Raises:
            WarehouseError: the path starts with `~`, and that user has no home directory.
        """
        try:
            return cls(Path(path).expanduser().absolute())
        except RuntimeError as error:
            raise WarehouseError(f"The warehouse {path} can't be opened: {error}") from error

    @property
    def name(self) -> str:  # noqa: D102 - as in Place, here and below
        return str(self.path)

    def exists(self) -> bool:  # noqa: D102
        return self.path.exists()

    def identity(self) -> object:  # noqa: D102
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def is_writable(self) -> bool:  # noqa: D102
        return can_be_written(self.path) and can_be_written(self.path.parent)  # for DuckDB's write-ahead log

    def files(self) -> list[Path]:  # noqa: D102
        return [self.path, *logs_of(self.path), *self._replaced()]

    def written_files(self) -> list[Path]:  # noqa: D102
        return [self.path, self.path.resolve()]

    def replaced_copies(self) -> list[tuple[str, LakeStorage | None]]:  # noqa: D102
        return [(str(path), None) for path in self._replaced()]

    def _replaced(self) -> list[Path]:
        file = self.path.resolve()
        pattern = re.compile(_REPLACED.format(re.escape(file.name)))
        return sorted(path for path in file.parent.glob("*") if pattern.fullmatch(path.name) and path.is_file())

    def old_spill_folder(self) -> Path:  # noqa: D102
        return Path(f"{self.path}.tmp")

    @contextmanager
    def spilling(self) -> Iterator[Path]:  # noqa: D102
        with ExitStack() as held:
            folder = self.old_spill_folder()
            with suppress(OSError):  # the folder can't be written. DuckDB reports it if it needs to spill
                self.path.parent.mkdir(parents=True, exist_ok=True)
                folder = held.enter_context(temporary_folder(self.path, "spilling"))
            yield folder

    def attach(self, connection: DuckDBPyConnection, *, read_only: bool, wait_seconds: float) -> None:  # noqa: D102
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            self._create(connection)
        statement = self._attach_statement(connection, read_only=read_only)
        for attempt in stamina.retry_context(
            on=WarehouseInUse, attempts=None, timeout=wait_seconds, wait_initial=0.2, wait_max=5.0
        ):
            with attempt, being_opened(self.path), self._lock_errors_named():
                connection.execute(statement)

    def _attach_statement(self, _: DuckDBPyConnection, *, read_only: bool) -> str:
        return f"ATTACH {literal(str(self.path))} AS warehouse ({'READ_ONLY' if read_only else _FILE_OPTIONS})"

    def _create(self, connection: DuckDBPyConnection) -> None:
        """Create a private file. DuckDB would make it readable by everyone, and it does not accept an empty file.

        The folder follows the umask, because the report is published below it.
        """
        file = Path(os.path.realpath(self.path))  # the file that a link leads to
        # After an OSError, ATTACH creates the file or reports what is wrong.
        with suppress(OSError), temporary_folder(file, "creating") as aside:
            new = aside / file.name
            connection.execute(f"ATTACH {literal(str(new))} AS created ({_FILE_OPTIONS}); DETACH created")
            put_new(new, file)

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
            program = (process and program_of(process)) or (holder and Path(holder["program"]).name)
            who = f"{program} (process {process})" if holder else "another connection"
            raise WarehouseInUse(
                f"The warehouse {self.name} is in use by {who}: wait for it to finish, or close it", process=process
            ) from error

    @contextmanager
    def private_log(self) -> Iterator[None]:
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

    def compact(self, connection: DuckDBPyConnection, lock: WriteLock, *, wait_seconds: float) -> None:  # noqa: ARG002, D102
        self._rewrite(connection, "warehouse", wait_seconds)

    def _rewrite(self, connection: DuckDBPyConnection, database: str, wait_seconds: float) -> None:
        """Write a copy of the live rows and rename it over the file, which is attached as `database`.

        DuckDB marks a row as deleted and leaves its bytes in the file.
        """
        file = Path(os.path.realpath(self.path))  # replaces the file that a link leads to, not the link
        connection.execute(f"CHECKPOINT {database}")
        for log in logs_of(self.path, file):  # it holds rows, and DuckDB would replay it into the new file
            raise WarehouseError(
                f"DuckDB has not applied the log {log}: open the warehouse under that name, or move the log away"
            )
        with temporary_folder(file, "compacting") as aside:
            copy = aside / file.name
            connection.execute(f"ATTACH {literal(str(copy))} AS compacted ({_FILE_OPTIONS})")
            connection.execute(f"COPY FROM DATABASE {database} TO compacted; DETACH compacted")
            put_in_place(copy, file, wait_seconds=wait_seconds)


@dataclass(frozen=True)
class LocalLake(File):
    """A DuckLake whose catalog is the DuckDB file `path`, with its Parquet files in a folder next to it."""

    @property
    def name(self) -> str:  # noqa: D102
        return f"{LAKE_PREFIX}{self.path}"

    @property
    def data(self) -> Path:
        """The folder of the Parquet files."""
        return Path(f"{self.path}.files")

    def files(self) -> list[Path]:  # noqa: D102
        return [*super().files(), self.data]

    def _attach_statement(self, connection: DuckDBPyConnection, *, read_only: bool) -> str:
        extensions.load(connection, "ducklake")
        return f"ATTACH {literal(self.name)} AS warehouse {'(READ_ONLY)' if read_only else ''}"

    def _create(self, connection: DuckDBPyConnection) -> None:
        super()._create(connection)
        with suppress(OSError):  # writing the first Parquet file reports it
            self.data.mkdir(mode=0o700, exist_ok=True)

    def require_compactable(self, connection: DuckDBPyConnection) -> None:
        """Refuse a copied or moved catalog: it still refers to the original's files, which must not be deleted."""
        path = lake.data_path(connection)
        if Path(path) != self.data:
            raise WarehouseError(
                f"The lake {self.path} can't be compacted: its data is in {path}, which another lake may share."
                f" Only a lake with its data in {self.data} can be compacted."
            )

    def maintain(self, connection: DuckDBPyConnection, lock: WriteLock) -> None:  # noqa: D102
        with self.private_log():
            lake.maintain(connection, lock)

    def compact(self, connection: DuckDBPyConnection, lock: WriteLock, *, wait_seconds: float) -> None:  # noqa: D102
        with self.private_log():
            lake.compact(connection, lock)
        self._rewrite(connection, lake.CATALOG, wait_seconds)
