"""Another process that compacts the warehouse, and is killed, short of disk or watched while it does."""

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
    """Start it.

    `dies-before` and `dies-after` the rename, `watched` says when it waits for the folder, a number is the size in
    bytes that no file may exceed.
    """
    return Child(_compact, warehouse.target, action)


def be_killed_at_the_rename(when: str) -> None:
    """Kill this process when it first renames a file, `before` or `after` the rename."""
    rename = os.replace

    def die(*names: Any) -> None:
        if when == "after":
            rename(*names)
        os.kill(os.getpid(), signal.SIGKILL)

    os.replace = die  # type: ignore[assignment]


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
