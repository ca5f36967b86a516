"""The lock that keeps writers of a shared lake apart: an advisory lock of Postgres, and a row as a fence behind it."""

import hashlib
import re
from typing import TYPE_CHECKING, Any

from duckdb import DuckDBPyConnection

from topo_pipeline.common.retries import stamina
from topo_pipeline.warehouse.errors import WarehouseError, WarehouseInUse
from topo_pipeline.warehouse.places.catalog_database import machine
from topo_pipeline.warehouse.places.place import WriteLock
from topo_pipeline.warehouse.sql import one_sentence

if TYPE_CHECKING:
    from psycopg import Connection

FENCE = "main.write_count"
"""A table of the lake with one row, which each write transaction updates."""
_COUNT = f"UPDATE {FENCE} SET number = number + 1"  # noqa: S608 - a constant
_SET_TIMEOUT = "SELECT set_config('lock_timeout', %s, false)"
_LOCKS = """
FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::BIGINT << 32) | objid::BIGINT = %s
"""
IS_HELD = f"SELECT EXISTS (SELECT {_LOCKS} AND pid = pg_backend_pid())"  # noqa: S608 - a constant
_HOLDER = f"""
SELECT pid, coalesce(application_name, ''), coalesce(host(client_addr), 'the database server')
FROM pg_stat_activity WHERE pid IN (SELECT pid {_LOCKS})
"""  # noqa: S608 - a constant
_APPLICATION = re.compile(r"topo-pipeline (?P<process>\d+)@(?P<machine>.+)")


class AdvisoryLock(WriteLock):
    """An advisory lock of Postgres, held by a session. It is gone when the session ends."""

    def __init__(self, session: "Connection[Any]", key: int, warehouse: str) -> None:
        self._session = session
        self._key = key
        self._warehouse = warehouse

    def take(self, wait_seconds: float) -> None:
        """Wait for the lock in Postgres' own queue.

        Raises:
            WarehouseInUse: another session has held it for `wait_seconds`.
        """
        from psycopg import errors  # noqa: PLC0415 - an extra

        milliseconds = max(1, round(1000 * wait_seconds))
        for attempt in stamina.retry_context(on=WarehouseInUse, attempts=2, wait_initial=0, wait_max=0, wait_jitter=0):
            self._session.execute(_SET_TIMEOUT, [f"{1 if attempt.num == 1 else milliseconds}ms"])
            with attempt:
                try:
                    self._session.execute("SELECT pg_advisory_lock(%s)", [self._key])
                except errors.LockNotAvailable:
                    raise self._in_use() from None

    def _in_use(self) -> WarehouseInUse:
        """Return an error that names the holder, as far as Postgres reports it."""
        holders = self._session.execute(_HOLDER, [self._key]).fetchall()
        session, application, address = holders[0] if holders else (None, "", "")
        ours = _APPLICATION.fullmatch(application)
        if ours:
            who = f"topo-pipeline (process {ours['process']} on {ours['machine']}, session {session} of Postgres)"
        else:
            who = f"{application or 'another client'} at {address}, session {session} of Postgres" if session else ""
        is_here = ours is not None and ours["machine"] == machine()
        return WarehouseInUse(
            f"The warehouse {self._warehouse} is in use by {who or 'another session'}: wait for it to end, or stop it",
            process=int(ours["process"]) if ours and is_here else None,
        )

    def require(self) -> None:  # noqa: D102
        from psycopg import Error  # noqa: PLC0415 - an extra

        try:
            [(is_held,)] = self._session.execute(IS_HELD, [self._key]).fetchall()
        except Error:  # the session has ended
            is_held = False
        if not is_held:
            raise WarehouseError(
                f"The lock on the warehouse {self._warehouse} was lost, because its connection to Postgres ended. The"
                " transaction was not committed: another process may have written. Run the command again."
            )

    def run(self, *statements: str, wait_seconds: float) -> None:
        """Run statements in one transaction on the session that holds the lock: without the lock, nothing changes.

        Raises:
            WarehouseInUse: another session has locked a table or schema for `wait_seconds`.
            WarehouseError: a statement fails.
        """
        from psycopg import Error, errors  # noqa: PLC0415 - an extra

        try:
            self._session.execute(_SET_TIMEOUT, [f"{max(1, round(1000 * wait_seconds))}ms"])
            with self._session.transaction():
                for statement in statements:
                    self._session.execute(statement.encode())
        except errors.LockNotAvailable:
            raise WarehouseInUse(
                f"The warehouse {self._warehouse} is being read: wait for the reader to finish", process=None
            ) from None
        except Error as error:
            raise WarehouseError(f"The warehouse {self._warehouse} can't be replaced: {one_sentence(error)}") from error

    def before_commit(self, connection: DuckDBPyConnection) -> None:  # noqa: D102
        connection.execute(_COUNT)
        self.require()


def lock_key(name: str) -> int:
    """Return the key of an advisory lock for a name."""
    return int.from_bytes(hashlib.sha256(f"topo-pipeline {name}".encode()).digest()[:8], signed=True)
