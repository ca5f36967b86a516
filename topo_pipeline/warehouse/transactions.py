"""Transactions of DuckDB that an error undoes, and what interrupts them: Ctrl-C, or a run that is terminated."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

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
        # A failed COMMIT, a full disk or a lost connection has already ended it.
        with uninterrupted(), suppress(duckdb.Error):
            connection.rollback()
        raise


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let signals wait until the block has ended.

    After an interrupted COMMIT, DuckDB keeps the file locked for as long as the process runs (seen with 1.5.5).
    """
    received, is_waiting = list[int](), True
    handlers = dict[int, Any]()
    if threading.current_thread() is threading.main_thread():  # no other thread is interrupted
        handlers = {each: handler for each in signal.valid_signals() if callable(handler := signal.getsignal(each))}

    def handle(number: int, frame: Any) -> None:
        if is_waiting:
            received.append(number)
        else:  # a signal has interrupted the restoring of the handlers
            handlers[number](number, frame)

    try:
        for each in handlers:
            signal.signal(each, handle)
        yield
    finally:
        is_waiting = False
        for each, handler in handlers.items():
            signal.signal(each, handler)
        for number in received:
            signal.raise_signal(number)


@contextmanager
def interruptions_kept() -> Iterator[None]:
    """Raise what interrupted a statement, such as KeyboardInterrupt. DuckDB raises a RuntimeError in its place."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error.__cause__, Exception | None):
            raise
        raise error.__cause__ from None
