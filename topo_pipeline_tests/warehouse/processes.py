"""Other processes that use the warehouse: forked from a server that has imported everything.

A fork of the tests' own process would inherit threads' locks; a new interpreter for each would take a second.
"""

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from topo_pipeline_tests.conftest import PATIENCE

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        "__main__",
        "topo_pipeline.maintenance.backups",
        "topo_pipeline.exports.parquet",
        "topo_pipeline.ingest",
        "topo_pipeline_tests.crashes.children",
        "topo_pipeline_tests.engagement.helpers",
    ]
)


class Child:
    """A process that calls one function, whose last argument is the pipe to the test."""

    def __init__(self, do: Callable[..., None], *arguments: Any) -> None:
        self.pipe, theirs = _SERVER.Pipe()
        self.process = _SERVER.Process(target=do, args=(*arguments, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def hears(self) -> Any:
        """Wait for what the process sends next.

        Raises:
            EOFError: it ended without sending anything.
        """
        assert self.pipe.poll(PATIENCE), "the child sends nothing"
        return self.pipe.recv()

    def hears_all(self) -> list[Any]:
        """Everything that it sends until its end."""
        said = []
        with suppress(EOFError):
            while True:
                said.append(self.hears())
        return said

    def ends(self) -> int | None:
        """Wait for its end: its exit code, or minus the signal that ended it."""
        self.process.join(PATIENCE)
        return self.process.exitcode
