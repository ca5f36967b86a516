"""Dagster's databases in memory without work that it repeats: what they store is the same.

Dagster creates every table for each instance, opens a connection for each use of a database, and looks for columns that
only old databases lack. With these patches, it creates the tables once per process, opens one connection per database
and thread, and doesn't look.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.storage.event_log import in_memory as events
from dagster._core.storage.runs import in_memory as runs


def patch_in_memory_storage(patch: pytest.MonkeyPatch) -> None:
    for module, metadata in ((events, "SqlEventLogStorageMetadata"), (runs, "RunStorageSqlMetadata")):
        patch.setattr(module, "create_engine", _engine)
        tables = _Tables(module, metadata)
        patch.setattr(module, metadata, tables)
        patch.setattr(module, "stamp_alembic_rev", tables.stamp)
    patch.setattr(events.InMemoryEventLogStorage, "_connect", _locked)
    patch.setattr(runs.InMemoryRunStorage, "connect", lambda storage: storage._engine.begin())  # noqa: SLF001
    patch.setattr(events.InMemoryEventLogStorage, "_has_asset_key_col_on_connection", lambda *_: True)
    patch.setattr(runs.InMemoryRunStorage, "has_run_stats_index_cols", lambda _: True)


def copy_records(source: dg.DagsterInstance, target: dg.DagsterInstance) -> None:
    """Copy the runs and events of an instance in memory into another."""
    for storage in ("run_storage", "event_log_storage"):
        records, empty = (getattr(instance, storage)._held_conn for instance in (source, target))  # noqa: SLF001
        _sqlite(records).backup(_sqlite(empty))


class _Tables:
    """The tables of a new database: those that were created first, to be copied."""

    def __init__(self, module: ModuleType, metadata: str) -> None:
        self._metadata, self._stamp = getattr(module, metadata), module.stamp_alembic_rev
        self._created: sqlite3.Connection | None = None

    def create_all(self, connection: sqlalchemy.Connection) -> None:
        if self._created:
            self._created.backup(_sqlite(connection))
        else:
            self._metadata.create_all(connection)

    def stamp(self, config: Any, connection: sqlalchemy.Connection) -> None:
        if not self._created:
            self._stamp(config, connection)
            _sqlite(connection).commit()
            self._created = sqlite3.connect(":memory:", check_same_thread=False)
            _sqlite(connection).backup(self._created)


def _sqlite(connection: sqlalchemy.Connection) -> sqlite3.Connection:
    used = connection.connection.driver_connection
    assert isinstance(used, sqlite3.Connection)
    return used


def _engine(url: str, **options: Any) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(url, **options | {"poolclass": sqlalchemy.SingletonThreadPool})
    sqlalchemy.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
    return engine


@contextmanager
def _locked(storage: events.InMemoryEventLogStorage) -> Iterator[sqlalchemy.Connection]:
    with storage._db_lock, storage._engine.begin() as connection:  # noqa: SLF001
        yield connection
