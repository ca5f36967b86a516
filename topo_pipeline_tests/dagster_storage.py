"""Dagster's SQLite databases without work that it repeats for each event, which is most of what a run costs in a test.

Dagster creates an engine for each use of a database, which compiles every statement again, and reads all of its
migrations to create the database of a run. With these patches, it does so once per database and process. What it
stores is the same.
"""

import functools
import sqlite3
from typing import Any

import pytest
import sqlalchemy
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage

STORAGES = (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage)


def patch_storage(patch: pytest.MonkeyPatch) -> None:
    """Keep the engine of each database, and the migrations of each storage."""
    for storage in STORAGES:
        patch.setattr(storage, "create_engine", functools.partial(_engine, {}))
    read = ScriptDirectory.from_config

    @functools.cache
    def migrations(file: str, config: Config) -> ScriptDirectory:
        return read(config)

    patch.setattr(ScriptDirectory, "from_config", lambda config: migrations(config.config_file_name or "", config))


def _engine(known: dict[str, sqlalchemy.Engine], url: str, **options: Any) -> sqlalchemy.Engine:
    # No connection stays open between two uses, so the file may be moved or replaced.
    assert options["poolclass"] is sqlalchemy.NullPool
    if url not in known:
        known[url] = sqlalchemy.create_engine(url, **options)
        sqlalchemy.event.listen(known[url], "connect", _without_sync)
    return known[url]


def _without_sync(connection: sqlite3.Connection, _: object) -> None:
    """Don't wait for the disk, which only matters if the machine crashes."""
    connection.execute("PRAGMA synchronous = OFF")
