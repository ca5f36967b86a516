"""Processes that use the warehouse, forked from a server that has imported everything.

A fork of the test process would inherit its threads' locks. A new interpreter for each process would take a second.
"""

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from topo_pipeline_tests.conftest import PATIENCE

_SERVER = multiprocessing.get_context("forkserver")
_IMPORTED = [
    "__main__",
    "topo_pipeline.maintenance.backups",
    "topo_pipeline.exports.parquet",
    "topo_pipeline.ingest",
    "topo_pipeline_tests.crashes.children",
    "topo_pipeline_tests.engagement.helpers",
]


def import_too(*modules: str) -> None:
    """Let the server also import these modules. If it has already started, each process imports them."""
    _SERVER.set_forkserver_preload([*_IMPORTED, *modules])


import_too()


class Child:
    """A process that calls a function. Its last argument is the pipe to the test."""

    def __init__(self, function: Callable[..., None], *arguments: Any) -> None:
        self.pipe, child_end = _SERVER.Pipe()
        self.process = _SERVER.Process(target=function, args=(*arguments, child_end), daemon=True)
        self.process.start()
        child_end.close()

    def receive(self) -> Any:
        """Wait for the next object that the process sends, and return it.

        Raises:
            EOFError: the process ended without sending anything.
        """
        assert self.pipe.poll(PATIENCE), "the child sends nothing"
        return self.pipe.recv()

    def receive_all(self) -> list[Any]:
        """Wait for the process to end, and return everything that it sent."""
        sent = []
        with suppress(EOFError):
            while True:
                sent.append(self.receive())
        return sent

    def wait(self) -> int | None:
        """Wait for the process to end, and return its exit code, or minus the signal that ended it."""
        self.process.join(PATIENCE)
        return self.process.exitcode
