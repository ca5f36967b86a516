"""Run a server in a process of its own that ends with the tests, even if they are killed."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

PATIENCE = 120.0  # seconds that a server may take to start or stop, on a slow and busy machine
# No variable of the tests or the developer, such as PGPORT or AWS_PROFILE, reaches a server.
_ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}


def free_ports(number: int) -> list[int]:
    """Return free ports below those that the system assigns."""
    ports: list[int] = []
    with ExitStack() as taken:
        while len(ports) < number:
            port = random.SystemRandom().randrange(10_000, 30_000)
            with suppress(OSError):
                taken.enter_context(socket.socket()).bind(("127.0.0.1", port))
                ports.append(port)
    return ports


@contextmanager
def private_folder(user: str | None = None) -> Iterator[Path]:
    """Yield a temporary folder that belongs to `user`. Pytest's folders can't be entered by another user."""
    folder = Path(tempfile.mkdtemp(prefix="topo_pipeline_services_"))
    if user:
        shutil.chown(folder, user)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def start(
    command: Sequence[object], *, log: Path, ends_with: signal.Signals, user: str | None = None
) -> "subprocess.Popen[bytes]":
    """Start a server that receives the signal `ends_with` when the thread that starts it ends, as after a kill."""
    as_user = [f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
    setpriv = ["setpriv", f"--pdeathsig={ends_with.name.removeprefix('SIG')}", *as_user]
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - the tests' own command
            [*setpriv, *map(str, command)], cwd=log.parent, env=_ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip


def require_running(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Fail with the end of the log if the server has ended."""
    assert process.poll() is None, f"The server ended:\n{log.read_text(errors='replace')[-3000:]}"


def stop(process: "subprocess.Popen[bytes]", how: signal.Signals) -> None:
    """End the server, and wait until it has ended."""
    process.send_signal(how)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
