"""A transaction of DuckDB that an error undoes."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import duckdb
from duckdb import DuckDBPyConnection


@contextmanager
def undone_on_error(connection: DuckDBPyConnection) -> Iterator[None]:
    """Begin a transaction and roll it back after an error. If there is none, the caller ends it.

    If a connection to Postgres is lost and nothing rolls back explicitly, DuckDB ends the process.
    """
    connection.begin()
    try:
        yield
    except BaseException:
        connection.interrupt()  # otherwise the rollback waits for a query that an exception has left running
        with suppress(duckdb.Error):  # a failed COMMIT, a full disk or a lost connection has already ended it
            connection.rollback()
        raise
