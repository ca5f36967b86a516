"""A lake whose catalog is in Postgres and whose Parquet files are in a folder or in S3: many readers, several writers.

DuckLake detects conflicts by file and table, not by row: two processes that land the same day at once would double it.
So a writer holds an advisory lock in Postgres. If its connection is cut, the lock is gone and another writer may begin.
The lock is therefore checked right before each commit, and each transaction updates the one row of `main.write_count`,
so that of two transactions that overlap all the same, DuckLake refuses the second.
"""

import os
import shutil
import uuid
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse import extensions
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.files import can_be_written, temporary, temporary_folder
from topo_pipeline.warehouse.places import dump, lake
from topo_pipeline.warehouse.places.advisory_lock import FENCE, IS_HELD, AdvisoryLock, lock_key
from topo_pipeline.warehouse.places.catalog_database import POSTGRES_PREFIX, CatalogDatabase
from topo_pipeline.warehouse.places.grants import grants_of, require_create
from topo_pipeline.warehouse.places.place import LakeStorage, Place, WriteLock
from topo_pipeline.warehouse.places.secrets import create_secret, s3_options
from topo_pipeline.warehouse.sql import identifier, literal, reason_of
from topo_pipeline.warehouse.transactions import undone_on_error

if TYPE_CHECKING:
    from psycopg import Connection

S3_PREFIX = "s3://"
# Tables with payloads, whose rows are never inlined in Postgres.
_WITH_PAYLOADS = ("activities", "activity_changes", "rejects")
_ARRANGE = (
    "ALTER TABLE topo.activities SET PARTITIONED BY (year(day), month(day))",
    "ALTER TABLE topo.activities SET SORTED BY (created_at)",
    *(
        f"CALL warehouse.set_option('data_inlining_row_limit', 0, schema => 'topo', table_name => '{table}')"
        for table in _WITH_PAYLOADS
    ),
    f"CREATE TABLE {FENCE} (number BIGINT)",
    f"COMMENT ON TABLE {FENCE} IS 'Write transactions so far. Each updates this row, so that two can''t overlap.'",
    f"INSERT INTO {FENCE} VALUES (0)",  # noqa: S608 - a constant
)
_BY_HAND = "docs/backups.md#a-shared-lake-by-hand"
# The options of a connection that DuckDB's errors would show, and that it accepts in a secret instead.
_PASSWORD = "password"  # noqa: S105 - a name
# S3 may answer 503 for a while. Together the waits take 13 seconds.
_RETRIES = "SET http_retries = 6; SET http_retry_wait_ms = 200; SET http_retry_backoff = 2"
# DuckDB's messages if its connection to Postgres is lost. It reports none of them as an IOException.
_DISCONNECTED = (
    "server closed the connection",
    "Failed to execute query",
    "Failed to prepare COPY",
    "unsuccessful query",
)


@dataclass(frozen=True)
class SharedLake(Place):
    """A DuckLake whose catalog is a schema of a Postgres database."""

    address: str = field(repr=False)  # a connection string of libpq
    storage: LakeStorage

    @property
    def _database(self) -> CatalogDatabase:
        return CatalogDatabase(self.address)

    @cached_property
    def name(self) -> str:  # noqa: D102 - as in Place, here and below
        try:
            return f"{POSTGRES_PREFIX}{self._database.name}/{self.storage.schema}"
        except ModuleNotFoundError:
            return POSTGRES_PREFIX

    @property
    def _is_s3(self) -> bool:
        return self.storage.data_path.startswith(S3_PREFIX)

    @property
    def _schema(self) -> str:
        return identifier(self.storage.schema)

    @property
    def _catalog(self) -> str:
        return f"{lake.CATALOG}.{self._schema}"

    def exists(self) -> bool:  # noqa: D102
        return self.identity() is not None

    def identity(self) -> object:  # noqa: D102
        with self._session() as session:
            [(found,)] = session.execute(
                "SELECT to_regclass(quote_ident(%s) || '.ducklake_metadata')::oid", [self.storage.schema]
            ).fetchall()
            return found

    def is_writable(self) -> bool:  # noqa: D102
        return self._is_s3 or can_be_written(Path(self.storage.data_path))

    def files(self) -> list[Path]:  # noqa: D102
        return [] if self._is_s3 else sorted(Path(self.storage.data_path).glob(f"{self.storage.schema}-*"))

    @contextmanager
    def spilling(self) -> Iterator[Path]:  # noqa: D102
        with temporary_folder(temporary(), "spilling") as folder:
            yield folder

    def attachment(self, *, read_only: bool) -> Hashable:
        """Identify the lake by its catalog too: a new or restored lake may have the name of another one.

        Attaching it again, DuckLake reads its catalog once for each version of the schema that rows in it have.
        """
        catalog = self.identity()
        return None if catalog is None else (self, catalog, read_only)

    def attach(self, connection: DuckDBPyConnection, *, read_only: bool, wait_seconds: float) -> None:  # noqa: ARG002, D102
        from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - an extra

        for name in ("ducklake", "postgres_scanner", *(["httpfs"] if self._is_s3 else [])):
            extensions.load(connection, name)
        public = dict(self._database.options)
        password = public.pop(_PASSWORD, None)
        options = {"META_SCHEMA": self.storage.schema}
        if not read_only and not self.exists():
            options["DATA_PATH"] = self._new_folder()
        if password is not None:
            options["META_SECRET"] = "topo_postgres"  # noqa: S105 - a name
            create_secret(connection, "topo_postgres", {"TYPE": "postgres", "PASSWORD": password})
        if self._is_s3:
            create_secret(connection, "topo_s3", s3_options(self.storage))
            connection.execute(_RETRIES)
        given = ", ".join(f"{name} {literal(value)}" for name, value in options.items())
        target = literal(f"{POSTGRES_PREFIX}{make_conninfo(**public)}")
        connection.execute(f"ATTACH {target} AS warehouse ({given}{', READ_ONLY' if read_only else ''})")
        self._require_data_path(lake.data_path(connection, self._catalog))

    def _new_folder(self) -> str:
        """Return a folder that no other lake uses: files that a lake does not know are deleted from its folder."""
        folder = f"{self.storage.data_path}/{self.storage.schema}-{uuid.uuid4().hex[:12]}/"
        self._create_folder(folder, exist_ok=False)
        return folder

    def _create_folder(self, folder: str, *, exist_ok: bool) -> None:
        if not self._is_s3:
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=exist_ok)

    def _require_data_path(self, stored: str) -> None:
        if Path(stored).parent != Path(self.storage.data_path):
            raise WarehouseError(
                f"The files of {self.name} are in {stored}, not below {self.storage.data_path} (TOPO_LAKE_DATA_PATH)."
                " Correct it, or set TOPO_LAKE_SCHEMA to a new name to create another lake."
            )

    @contextmanager
    def write_lock(self, wait_seconds: float) -> "Iterator[AdvisoryLock]":
        """Hold the advisory lock of this lake on a connection of its own, and create the schema of the catalog.

        Two processes that attach a new lake at the same time would both create its catalog.
        """
        with self._session() as session:
            lock = AdvisoryLock(session, lock_key(self.storage.schema), self.name)
            lock.take(wait_seconds)
            if not session.execute("SELECT to_regnamespace(quote_ident(%s))", [self.storage.schema]).fetchall()[0][0]:
                session.execute(f"CREATE SCHEMA {self._schema}".encode())
            yield lock

    def is_arranged(self, connection: DuckDBPyConnection) -> bool:  # noqa: D102
        try:
            connection.execute(f"FROM {FENCE} LIMIT 0")  # listing all tables would take long
        except duckdb.CatalogException:
            return False
        return True

    def arrange(self, connection: DuckDBPyConnection) -> None:  # noqa: D102
        if self.is_arranged(connection):
            return
        with undone_on_error(connection):
            for statement in _ARRANGE:
                connection.execute(statement)
            connection.commit()

    def compact(self, connection: DuckDBPyConnection, lock: WriteLock, *, wait_seconds: float) -> None:  # noqa: ARG002, D102
        lake.compact(connection, lock, self._catalog)

    def maintain(self, connection: DuckDBPyConnection, lock: WriteLock) -> None:  # noqa: D102
        lake.maintain(connection, lock)

    def named_files(self, connection: DuckDBPyConnection) -> dict[str, int]:
        """Return the files of the newest snapshot: their paths below the lake's folder, and their sizes in bytes."""
        return lake.named_files(connection, self._catalog)

    def download(self, connection: DuckDBPyConnection, name: str, file: Path) -> None:
        """Copy one of the `named_files` to a new file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        lake.copy_file(connection, lake.data_path(connection, self._catalog) + name, str(file))

    def upload(self, connection: DuckDBPyConnection, name: str, file: Path) -> None:
        """Copy a file to the lake's folder."""
        target = lake.data_path(connection, self._catalog) + name
        self._create_folder(target.rpartition("/")[0], exist_ok=True)
        lake.copy_file(connection, str(file), target)

    def dump(self, file: Path) -> None:
        """Write the catalog to a new file with pg_dump. The caller holds the lock.

        Raises:
            WarehouseError: it can't be written, or pg_dump is missing or too old. The error says how to do it by hand.
        """
        otherwise = (
            "To back up the lake by hand, run this while nothing writes to it:"
            f" pg_dump --format=custom --schema={self.storage.schema} --file=catalog.dump, and copy"
            f" {self.storage.data_path} ({_BY_HAND})."
        )
        dump.dump(file, **self._programs(otherwise))

    def load(self, file: Path, *, dumped: str, folder_of: "SharedLake") -> None:
        """Create this lake from a dump, in one transaction. Its folder, one of those of `folder_of`, is still empty.

        Raises:
            WarehouseError: as `dump`; or the role may not create schemas. Nothing was created.
        """
        folder = f"{self.storage.data_path}/{folder_of.storage.schema}-{uuid.uuid4().hex[:12]}/"
        otherwise = f"To restore the lake by hand, see {_BY_HAND}."
        with self._session() as session:
            require_create(session)
        dump.load(file, dumped=dumped, data_path=folder, **self._programs(otherwise))
        self._create_folder(folder, exist_ok=False)

    def _programs(self, otherwise: str) -> dict[str, Any]:
        with self._session() as session:
            server = session.info.server_version // 10_000
        return {
            "schema": self.storage.schema,
            "options": self._database.options,
            "server": server,
            "otherwise": otherwise,
        }

    def restoring(self) -> LakeStorage:
        """Return the storage of the lake that `restore` prepares. No setting can name its schema."""
        return replace(self.storage, schema=f"{self.storage.schema}-restoring")

    def discard(self, connection: DuckDBPyConnection) -> None:
        """Remove this lake, which is attached: its files, then its catalog."""
        folder = lake.data_path(connection, self._catalog)
        with self._session() as session:
            if self._is_s3:
                for table in ("data_file", "delete_file", "files_scheduled_for_deletion"):
                    session.execute(f"DELETE FROM {self._schema}.ducklake_{table}".encode())  # noqa: S608
                connection.execute("CALL ducklake_delete_orphaned_files('warehouse', cleanup_all => true)").fetchall()
            elif Path(folder).exists():
                shutil.rmtree(folder)
            session.execute(f"DROP SCHEMA {self._schema} CASCADE".encode())

    def put_in_place(self, lock: "AdvisoryLock", *, now: datetime, wait_seconds: float) -> str | None:
        """Give the lake `restoring` the name and the readers of this one.

        Return where this one then is, in words, if it exists.

        The caller holds the lock. Readers that have begun finish first.

        Raises:
            WarehouseInUse: a reader has not finished within `wait_seconds`. Nothing was changed.
        """
        restored = self.restoring().schema
        renamed = f"ALTER SCHEMA {identifier(restored)} RENAME TO {self._schema}"
        with self._session() as session:
            grants = grants_of(session, self.storage.schema, restored)
        if not self.exists():
            lock.run(*grants, f"DROP SCHEMA {self._schema}", renamed, wait_seconds=wait_seconds)
            return None
        with self._session() as session:
            [(folder,)] = session.execute(
                f"SELECT value FROM {self._schema}.ducklake_metadata WHERE key = 'data_path' AND scope IS NULL".encode()  # noqa: S608
            ).fetchall()
        kept = f"{self.storage.schema}_replaced_{now.astimezone(UTC):%Y%m%dt%H%M%Sz}"
        lock.run(
            # A reader would find the names of the old tables in the new ones, whose rows its transaction does not see.
            f"LOCK TABLE {self._schema}.ducklake_snapshot",
            *grants,
            f"ALTER SCHEMA {self._schema} RENAME TO {identifier(kept)}",
            renamed,
            wait_seconds=wait_seconds,
        )
        return f"the schema {kept}, with its files in {folder}"

    def replaced_copies(self) -> list[tuple[str, LakeStorage | None]]:  # noqa: D102
        pattern = f"^{self.storage.schema}_replaced_[0-9]{{8}}t[0-9]{{6}}z$"
        with self._session() as session:
            found = session.execute(
                "SELECT nspname FROM pg_namespace WHERE nspname ~ %s ORDER BY nspname", [pattern]
            ).fetchall()
        return [(f"{POSTGRES_PREFIX}{self.address}", replace(self.storage, schema=name)) for (name,) in found]

    def is_disconnected(self, error: duckdb.Error) -> bool:  # noqa: D102
        return any(words in str(error) for words in _DISCONNECTED)

    def why_unreachable(self) -> str | None:  # noqa: D102
        if not self._is_s3:
            return None
        with extensions.new_instance() as connection:
            extensions.load(connection, "httpfs")
            create_secret(connection, "topo_s3", s3_options(self.storage))
            try:
                connection.execute("SELECT count(*) FROM glob(?)", [f"{self.storage.data_path}/topo-pipeline-check*"])
            except duckdb.Error as error:
                return f"The bucket of {self.name} can't be read: {reason_of(error)}."
        return None

    def why_unlocked(self) -> str | None:
        """Try to take one lock in two sessions. A pooler in transaction mode gives both the same one of Postgres."""
        key = lock_key(f"{self.storage.schema} doctor {os.getpid()}")
        with self._session() as one, self._session() as other:
            taken = [s.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchall()[0][0] for s in (one, other)]
            is_held = one.execute(IS_HELD, [key]).fetchall()[0][0]
            for session in (one, other):
                session.execute("SELECT pg_advisory_unlock_all()")
        if taken == [True, False] and is_held:
            return None
        return (
            f"{self.name} is behind a connection pooler in transaction mode, which breaks the lock that keeps writers"
            " apart."
        )

    def unreachable_copies(self) -> str:  # noqa: D102
        versions = ", and in older versions of its objects if the bucket keeps them" if self._is_s3 else ""
        return (
            "Values of the deleted rows can remain in Postgres' write-ahead log and in free space of its tables until"
            f" they are overwritten, in backups of the database{versions}."
        )

    def _session(self) -> AbstractContextManager["Connection[Any]"]:
        """Yield a session of Postgres, as `CatalogDatabase.session`."""
        return self._database.session(self.name)
