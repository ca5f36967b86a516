"""DuckDB instances of this process, which are used again: loading extensions into a new one takes long."""

import os
from collections import defaultdict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse import extensions
from topo_pipeline.warehouse.sql import SESSION, literal
from topo_pipeline.warehouse.transactions import uninterrupted

# Instances that can be used again, by what is attached to them. Each connection takes one out while it is open.
_IDLE: defaultdict[Hashable, list[DuckDBPyConnection]] = defaultdict(list)
_ABANDONED: list[DuckDBPyConnection] = []


@contextmanager
def connected(spill: Path, attachment: Hashable = None) -> Iterator[tuple[DuckDBPyConnection, bool]]:
    """Yield a connection to a DuckDB instance that no other connection uses at the same time.

    Creating an instance takes 7 ms, attaching a shared lake to it 0.1 s. So an instance is used again unless an error
    occurred. Temporary tables, macros, variables and session settings end with the connection. Loaded extensions
    remain, and with an `attachment` the warehouse stays attached.

    Args:
        spill: the folder to which DuckDB spills data that does not fit into memory.
        attachment: what the caller attaches as `warehouse`, if it may stay attached.

    Yields:
        The connection, and whether the attachment is attached.
    """
    is_attached = attachment is not None and bool(_IDLE[attachment])
    idle = _IDLE[attachment if is_attached else None]
    instance = idle.pop() if idle else extensions.new_instance()
    connection = instance.cursor()
    try:
        connection.execute(f"{SESSION}; SET temp_directory = {literal(str(spill))}")
        yield connection, is_attached
    except BaseException:
        connection.interrupt()  # otherwise closing waits for a query that an exception has left running
        connection.close()
        instance.close()
        raise
    connection.close()
    try:
        with uninterrupted():
            if attachment is None:
                instance.execute("DETACH DATABASE IF EXISTS warehouse")
            instance.execute("SET temp_directory = ''")
    except duckdb.Error:  # it has spilled to the folder, which is removed now
        instance.close()
    else:
        _IDLE[attachment].append(instance)


def _abandon_instances() -> None:
    """After a fork, neither use nor close the parent's instances: their threads don't exist in this process."""
    for instances in _IDLE.values():
        _ABANDONED.extend(instances)
    _IDLE.clear()


os.register_at_fork(after_in_child=_abandon_instances)
