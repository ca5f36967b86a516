"""Dagster's UI and daemon as processes: one set per home, which ends with the process that started it.

Run as a module, this is `dagster dev` itself: `python -m topo_pipeline.orchestration.services dev …`. It ends when its
standard input is closed, which happens when the process at the other end of that pipe ends for any reason.
"""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

import psutil

from topo_pipeline.common.processes import program_of
from topo_pipeline.orchestration.errors import UnderWay

HOST = "127.0.0.1"
_LOOK_SECONDS = 0.2


class Occupied(UnderWay):
    """The home already has running services, or the port is in use."""


@contextmanager
def reserved(home: Path, port: int) -> Iterator[int]:
    """Reserve `home` for one set of services, until the processes that inherit the yielded descriptor have ended.

    Raises:
        Occupied: services are running with this home, or something listens on the port.
    """
    with (home / "dev.lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Occupied(
                f"topo-pipeline dev is already running with {home}. Stop it: kill {lock.read()} (if that process is"
                " gone, its services are still ending: try again in a minute)."
            ) from None
        if daemon := _daemon_of(home):
            raise Occupied(f"A Dagster daemon is already running with {home}. Stop it first: kill {daemon}")
        check_port(port)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield lock.fileno()


def _daemon_of(home: Path) -> int | None:
    """Return the process id of a daemon with this home that topo-pipeline dev did not start."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended or belongs to another user
            words = process.cmdline()[:4]
            is_daemon = "dagster._daemon" in words or "dagster-daemon" in [Path(word).name for word in words]
            if is_daemon and Path(process.environ().get("DAGSTER_HOME", "")).resolve() == home.resolve():
                return process.pid
    return None


def check_port(port: int) -> None:
    """Check that the port is free.

    Raises:
        Occupied: it is in use or can't be used.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"can't be used ({error.strerror})"
            raise Occupied(
                f"Port {port} {why}{_listener(port)}. Choose another, for example: topo-pipeline dev --port {port + 1}"
            ) from None


def _listener(port: int) -> str:
    with suppress(psutil.Error, OSError):  # not every user may list connections
        for connection in psutil.net_connections("tcp"):
            if connection.laddr[1:] == (port,) and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f" by {program_of(connection.pid) or 'a program'} (process {connection.pid})"
    return ""


def run(
    workspace: Path, port: int, lock: int, environment: Mapping[str, str], *, on_ready: Callable[[], object]
) -> int:
    """Run Dagster's UI and daemon until they end or a KeyboardInterrupt ends them, and return their exit code.

    `on_ready` is called in another thread as soon as the UI answers.
    """
    command = [sys.executable, "-m", __name__, "dev", "-w", str(workspace), "-h", HOST, "-p", str(port)]
    # In a folder without .env, because Dagster lets it override the environment. In its own session, so that Ctrl-C
    # reaches it only through this process.
    with subprocess.Popen(  # noqa: S603
        command, env=environment, cwd=workspace.parent, stdin=subprocess.PIPE, pass_fds=[lock], start_new_session=True
    ) as process:
        waiting = threading.Thread(target=_wait_until_ready, args=(port, process, on_ready), daemon=True)
        waiting.start()
        try:
            return process.wait()
        except KeyboardInterrupt:
            if process.stdin is not None:
                process.stdin.close()
            return process.wait()
        finally:
            _end_group(process.pid)


def _wait_until_ready(port: int, process: "subprocess.Popen[bytes]", on_ready: Callable[[], object]) -> None:
    while process.poll() is None:
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            on_ready()
            return
        time.sleep(_LOOK_SECONDS)


def _end_group(group: int) -> None:
    """End the remaining processes: runs, which `dagster dev` leaves behind, and its services if it was killed."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGINT)


def _main() -> None:
    from dagster._cli import main  # noqa: PLC0415 - only this process runs it

    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    try:
        cast("Callable[[], None]", main)()
    finally:
        if os.getpgrp() == os.getpid():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            _end_group(os.getpid())


if __name__ == "__main__":
    _main()
