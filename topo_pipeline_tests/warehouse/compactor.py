"""Another process that compacts the warehouse, and is killed, short of disk or watched while it does."""

import fcntl
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from topo_pipeline.warehouse.compaction import compact
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import NotCompacted

ROOT = Path(__file__).parents[2]


def compactor(warehouse: Warehouse, action: str) -> "subprocess.Popen[str]":
    """Start it.

    `dies-before` and `dies-after` the rename, `watched` says when it waits for the folder, a number is the size in
    bytes that no file may exceed.
    """
    command = [sys.executable, "-m", __name__, warehouse.target, action]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own


def main(target: str, action: str) -> None:
    if action.startswith("dies"):
        os.replace = _dying(os.replace, first=action == "dies-before")  # type: ignore[assignment]
    elif action == "watched":
        fcntl.flock = _told(fcntl.flock)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(action), int(action)))
    try:
        compact(Warehouse(target, wait_seconds=30))
    except NotCompacted as error:
        print(error, flush=True)
    else:
        print("compacted", flush=True)


def _dying(replace: Callable[..., None], *, first: bool) -> Callable[..., None]:
    def die(*names: Any) -> None:
        if not first:
            replace(*names)
        os.kill(os.getpid(), signal.SIGKILL)

    return die


def _told(flock: Callable[[int, int], None]) -> Callable[[int, int], None]:
    def tell(descriptor: int, kind: int) -> None:
        try:
            flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting", flush=True)
            flock(descriptor, kind)

    return tell


if __name__ == "__main__":
    main(*sys.argv[1:])
