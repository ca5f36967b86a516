"""DuckDB instances of this process, which are used again: loading extensions into a new one takes long."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse.sql import SESSION, literal

# Instances that can be used again. Each connection takes one out while it is open.
_IDLE: list[DuckDBPyConnection] = []
_ABANDONED: list[DuckDBPyConnection] = []


@contextmanager
def connected(spill: Path) -> Iterator[DuckDBPyConnection]:
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
