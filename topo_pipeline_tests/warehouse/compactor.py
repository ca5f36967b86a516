"""A process that compacts the warehouse, and may be killed, run out of disk space, or report that it waits."""

import os
import resource
import signal
from typing import Any

from topo_pipeline.maintenance.compaction import compact
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import NotCompacted
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.warehouse.processes import Child
from topo_pipeline_tests.warehouse.worker import say_when_waiting


def compactor(warehouse: Warehouse, action: str) -> Child:
    """Start the process.

    `action` is `dies-before` or `dies-after` the rename, `watched` to report when it waits for the folder, or the
    largest size of a file in bytes.
    """
    return Child(_compact, warehouse.target, action)


def be_killed_at_the_rename(when: str) -> None:
    """Kill this process when it first renames a file, `before` or `after` the rename."""
    rename = os.replace

    def rename_and_die(*names: Any) -> None:
        if when == "after":
            rename(*names)
        os.kill(os.getpid(), signal.SIGKILL)

    os.replace = rename_and_die  # type: ignore[assignment]


def _compact(target: str, action: str, pipe: Any) -> None:
    if action.startswith("dies-"):
        be_killed_at_the_rename(action.removeprefix("dies-"))
    elif action == "watched":
        say_when_waiting(pipe)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(action), int(action)))
    try:
        compact(Warehouse(target, wait_seconds=PATIENCE))
    except NotCompacted as error:
        pipe.send(str(error))
    else:
        pipe.send("compacted")
