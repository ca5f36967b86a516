"""What every place has in common."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

LAKE_PREFIX = "ducklake:"


@dataclass(frozen=True)
class LakeStorage:
    """Where the parts of a shared lake are, apart from its database."""

    data_path: str  # a folder or `s3://BUCKET/FOLDER`
    schema: str = "topo"  # the schema of the catalog in Postgres
    variables: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)  # AWS_*, with secrets


class WriteLock:
    """Keeps other writers out. This one can't be lost."""

    def require(self) -> None:
        """Check that it is still held.

        Raises:
            WarehouseError: it is lost, so another process may be writing.
        """

    def before_commit(self, connection: DuckDBPyConnection) -> None:
        """Check right before a commit that it is still held. A lock that can be lost also makes DuckLake check it.

        Raises:
            WarehouseError: as `require`.
        """
        del connection


class Place(ABC):
    """Where a warehouse is stored.

    Raises:
        WarehouseError: from every method, if the warehouse can't be opened, written or read.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """What people read in messages. Holds no password."""

    @abstractmethod
    def exists(self) -> bool:
        """Return whether there is a warehouse."""

    @abstractmethod
    def identity(self) -> object:
        """Return a value that changes when `restore` puts another warehouse in this place."""

    @abstractmethod
    def spilling(self) -> AbstractContextManager[Path]:
        """Yield a private folder to which DuckDB spills data that does not fit into memory."""

    def attachment(self, *, read_only: bool) -> Hashable:
        """Return what identifies an attached warehouse that may stay attached between transactions, or None."""
        del read_only
        return None

    @abstractmethod
    def attach(self, connection: DuckDBPyConnection, *, read_only: bool, wait_seconds: float) -> None:
        """Attach the warehouse as `warehouse`, waiting while another process keeps it locked. To write, create it.

        Raises:
            WarehouseInUse: the other process has not released it in time.
            duckdb.Error, OSError: it can't be opened.
        """

    def write_lock(self, wait_seconds: float) -> AbstractContextManager[WriteLock]:
        """Keep other writers out, before the warehouse is attached. By default `attach` does that.

        Raises:
            WarehouseInUse: another process has held the lock for `wait_seconds`.
        """
        return nullcontext(WriteLock())

    def private_log(self) -> AbstractContextManager[None]:
        """Create the files of a transaction that DuckDB would make readable by everyone, and remove them if unused."""
        return nullcontext()

    def is_arranged(self, connection: DuckDBPyConnection) -> bool:
        """Return whether it is set how the tables are stored."""
        del connection
        return True

    def arrange(self, connection: DuckDBPyConnection) -> None:
        """Set how the tables are stored. The connection has no transaction."""
        del connection

    def require_compactable(self, connection: DuckDBPyConnection) -> None:
        """Check, before anything is deleted, that the warehouse can be compacted.

        Raises:
            WarehouseError: a lake's Parquet files may belong to another lake too.
        """
        del connection

    @abstractmethod
    def compact(self, connection: DuckDBPyConnection, lock: WriteLock, *, wait_seconds: float) -> None:
        """Remove the bytes of deleted rows. The connection has no transaction.

        Raises:
            WarehouseError, duckdb.Error, OSError: some bytes remain.
        """

    def maintain(self, connection: DuckDBPyConnection, lock: WriteLock) -> None:
        """Do what the storage needs regularly: nothing, except in a lake. The connection has no transaction."""
        del connection, lock

    def is_disconnected(self, error: duckdb.Error) -> bool:
        """Return whether a statement failed because a connection to the place was lost."""
        del error
        return False

    def why_unreachable(self) -> str | None:
        """Return why the bucket with its files can't be read, if it can't, as a sentence."""
        return None

    def why_unlocked(self) -> str | None:
        """Return why the lock does not keep other writers out, if it doesn't, as a sentence."""
        return None

    def unreachable_copies(self) -> str:
        """Return where deleted rows may remain that `compact` can't reach, as a sentence, or an empty text."""
        return ""

    def is_writable(self) -> bool:
        """Return whether this user may write to it, as far as file permissions say."""
        return True

    def files(self) -> list[Path]:
        """Return the files and folders on this machine that hold rows. Some may not exist."""
        return []

    def written_files(self) -> list[Path]:
        """Return the files next to which killed processes may have left temporary folders."""
        return []

    def replaced_copies(self) -> list[tuple[str, LakeStorage | None]]:
        """Return the target and storage of the warehouses that `restore` has replaced and kept next to this one."""
        return []

    def old_spill_folder(self) -> Path | None:
        """Return the folder to which earlier versions spilled data that did not fit into memory."""
        return None
