"""Dagster's event log in SQLite, with databases that stay open. The files and the events are Dagster's own."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from typing import Any

from dagster._core.instance import InstanceRef
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import Connection, Engine, create_engine

MOST_OPEN = 8
"""Databases that stay open, one for each run and one for all. Each takes three of the files that a process may open."""


class EventLog(SqliteEventLogStorage):
    """Keeps the databases open. Dagster's class opens two for each event and compiles each statement again."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._engines: dict[str, Engine] = {}
        self._tables: set[str] = set()
        self._one_at_a_time = Lock()  # as in Dagster's class
        super().__init__(*arguments, **options)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "EventLog":
        """Return the event log that a configuration describes."""
        return cls(inst_data=inst_data, **config_value)

    def run_connection(self, run_id: str | None = None) -> Any:
        """Return a connection to the events of a run."""
        return self._connection(str(run_id), super().run_connection(run_id))

    def index_connection(self) -> AbstractContextManager[Connection]:
        """Return a connection to the events of all assets."""
        return self._connection("index", super().index_connection())

    @contextmanager
    def _connection(self, shard: str, first: AbstractContextManager[Connection]) -> Iterator[Connection]:
        with self._one_at_a_time:
            if not (engine := self._engines.pop(shard, None)):
                with first:  # creates the database
                    timeout = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
                    engine = create_engine(self.conn_string_for_shard(shard), connect_args=timeout)
            self._engines[shard] = engine  # the last one is the latest
            if len(self._engines) > MOST_OPEN:
                self._engines.pop(next(iter(self._engines))).dispose()
            with engine.begin() as connection:
                yield connection

    def has_table(self, table_name: str) -> bool:
        """Return whether a table exists. Dagster asks for each event, and never removes a table."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def dispose(self) -> None:
        """Close the databases."""
        super().dispose()
        for engine in self._engines.values():
            engine.dispose()


def with_open_databases(ref: InstanceRef) -> InstanceRef:
    """Return the configuration of an instance, with this event log if it has Dagster's in SQLite."""
    events = ref.event_storage_data
    if events is None or events.class_name != "SqliteEventLogStorage":
        return ref
    ours = events._replace(module_name=__name__, class_name=EventLog.__name__)
    return ref._replace(event_storage_data=ours, storage_data=None)  # None: each storage is configured by itself
