"""Processes that write the warehouse: one that the test controls step by step, and one that leaves a log.

`land` lands a day and reports when it has to wait. `hold` keeps its transaction open until the test resumes it.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any

import duckdb
import stamina.instrumentation

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.places import File
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.warehouse.builders import LATER, activity, landing_in, noon, path_of, reading
from topo_pipeline_tests.warehouse.processes import Child

WORKERS_ROW = 77


class Worker:
    """The test's handle of the process."""

    def __init__(self, child: Child) -> None:
        self.process = child.process
        self._child = child
        self._may_continue = False

    def expect(self, word: str) -> None:
        """Wait until the worker has sent `word`."""
        assert self._child.receive() == word

    def resume(self) -> None:
        if not self._may_continue:
            self._may_continue = True
            self._child.pipe.send("continue")

    def kill(self) -> None:
        self.process.kill()
        self._child.wait()


@contextmanager
def worker(warehouse: Warehouse, action: str, day: date) -> Iterator[Worker]:
    child = Child(_work, warehouse, action, day)
    try:
        yield Worker(child)
        child.wait()
    finally:
        child.process.kill()
        child.wait()


def leave_in_the_log(path: str, statement: str) -> None:
    """Commit a statement in a process that ends at once, so that it is in the log and not in the file."""
    assert Child(_commit_and_exit, path, statement).wait() == 0


def _commit_and_exit(path: str, statement: str, _: Any) -> None:
    connection = duckdb.connect(path)
    connection.execute(statement)
    os._exit(0)  # closing the connection would write the log into the file


def say_when_waiting(pipe: Any) -> None:
    """Make this process send "waiting" when it first has to wait for a lock."""

    def say_once(details: stamina.instrumentation.RetryDetails) -> None:
        if details.retry_num == 1:
            pipe.send("waiting")

    stamina.instrumentation.set_on_retry_hooks([say_once])


def _work(warehouse: Warehouse, action: str, day: date, pipe: Any) -> None:
    if isinstance(warehouse.place, File):
        tempfile.tempdir = str(path_of(warehouse).parent)  # where the buffer of a killed process remains
    say_when_waiting(pipe)
    read = reading(activity(WORKERS_ROW, at=noon(day)), day=day)
    with landing_in(replace(warehouse, wait_seconds=PATIENCE)) as (_, land):
        land(read, LATER, "worker", may_shrink=True)
        if action == "hold":
            pipe.send("inside")
            pipe.recv()
    pipe.send("landed")
