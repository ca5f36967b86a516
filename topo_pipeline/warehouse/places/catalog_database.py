"""The Postgres database that has a shared lake's catalog, and sessions in it. DuckDB has connections of its own."""

import atexit
import os
import platform
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.places.place import LAKE_PREFIX
from topo_pipeline.warehouse.sql import one_sentence

if TYPE_CHECKING:
    from psycopg import Connection

POSTGRES_PREFIX = f"{LAKE_PREFIX}postgres:"
_DEFAULTS = {"connect_timeout": "10", "keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3"}
# Without this, Postgres would need hours to notice that a machine is gone and keep its lock until then, or might end
# a session that waits for its transaction. Servers before 14 lack some of these settings.
_SETTINGS = """
SELECT set_config(name, wanted.value, false) FROM pg_settings JOIN (VALUES
    ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
    ('idle_session_timeout', '0'), ('statement_timeout', '0')
) AS wanted (name, value) USING (name)
"""
# Sessions that can be used again, by address: for Postgres, a new one is more work than most queries. Each use takes
# one out.
_IDLE: "defaultdict[str, list[Connection[Any]]]" = defaultdict(list)
_ABANDONED: "list[Connection[Any]]" = []


@dataclass(frozen=True)
class CatalogDatabase:
    """A database, by its connection string."""

    address: str = field(repr=False)

    @cached_property
    def options(self) -> dict[str, str]:
        """The connection's options by name, with the password."""
        from psycopg import ProgrammingError, conninfo  # noqa: PLC0415 - an extra

        try:
            found = {name: str(value) for name, value in conninfo.conninfo_to_dict(self.address).items()}
        except ProgrammingError:  # its message may quote the password
            raise WarehouseError(
                f"TOPO_WAREHOUSE has no valid connection string of Postgres after {POSTGRES_PREFIX}. Example:"
                f" {POSTGRES_PREFIX}host=db.example.com dbname=lake user=topo password=…"
            ) from None
        return {"application_name": f"topo-pipeline {os.getpid()}@{machine()}", **_DEFAULTS, **found}

    @property
    def name(self) -> str:
        """Server and database, as people read them."""
        port = f":{self.options['port']}" if "port" in self.options else ""
        host = self.options.get("host", self.options.get("hostaddr", self.options.get("service", "")))
        return f"//{host}{port}/{self.options.get('dbname', '')}"

    @contextmanager
    def session(self, warehouse: str) -> "Iterator[Connection[Any]]":
        """Yield a session in which each statement is a transaction. Its locks and settings end with the context.

        Args:
            warehouse: The name of the warehouse, for errors.

        Raises:
            WarehouseError: psycopg is not installed, or the database can't be reached.
        """
        try:
            from psycopg import Error  # noqa: PLC0415 - an extra
        except ModuleNotFoundError:
            raise WarehouseError("A shared lake needs the extra lake of this package (make install-dev)") from None
        try:
            session = self._idle_session() or self._connect()
        except Error as error:
            raise WarehouseError(f"The warehouse {warehouse} can't be opened: {one_sentence(error)}") from None
        try:
            yield session
        except BaseException:
            session.close()
            raise
        try:
            session.execute("DISCARD ALL")
        except Error:  # the connection is lost, and so are the locks
            session.close()
        else:
            _IDLE[self.address].append(session)

    def _idle_session(self) -> "Connection[Any] | None":
        """Return an idle session whose connection has not been lost since."""
        from psycopg import Error  # noqa: PLC0415 - an extra

        while _IDLE[self.address]:
            session = _IDLE[self.address].pop()
            try:
                session.execute(_SETTINGS)
            except Error:
                session.close()
            else:
                return session
        return None

    def _connect(self) -> "Connection[Any]":
        import psycopg  # noqa: PLC0415 - an extra

        # DISCARD ALL would remove prepared statements, and poolers don't know them.
        session = psycopg.connect(**self.options, autocommit=True, prepare_threshold=None)  # type: ignore[arg-type]  # names of libpq
        session.execute(_SETTINGS)
        return session


def machine() -> str:
    """Return the name of this machine, shortened: Postgres keeps 63 characters of a client's name."""
    return platform.node()[:40]


def _abandon_sessions() -> None:
    """After a fork, neither use nor close the parent's sessions: both processes would write to one connection."""
    for sessions in _IDLE.values():
        _ABANDONED.extend(sessions)
    _IDLE.clear()


def _close_idle_sessions() -> None:
    for sessions in _IDLE.values():
        for session in sessions:
            session.close()


os.register_at_fork(after_in_child=_abandon_sessions)
atexit.register(_close_idle_sessions)  # otherwise psycopg warns of each
