"""A real Postgres server for the tests: Debian's package, run by an ordinary user on a free port of loopback."""

import hashlib
import hmac
import os
import signal
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import stamina

from topo_pipeline_tests.services import processes

USER, PASSWORD = "topo_tests", "pg_test_7b1d5e90c2"  # noqa: S105 - of a server that only the tests can reach
# What is committed must survive SIGQUIT: `synchronous_commit` stays on. The others matter if the machine crashes.
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
}


@dataclass(frozen=True)
class Database:
    """A database of one test."""

    name: str
    port: int

    @property
    def dsn(self) -> str:
        """The connection string, `name=value` separated by spaces."""
        return f"host=127.0.0.1 port={self.port} dbname={self.name} user={USER} password={PASSWORD}"

    @property
    def address(self) -> str:
        """The connection string as an address, `postgresql://…`."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{self.name}"

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """Return a new connection, which commits each statement."""
        return psycopg.connect(self.dsn, autocommit=True, connect_timeout=10, **options)


@dataclass
class Postgres:
    """The server. It ends with the thread that started it last."""

    binaries: Path
    folder: Path
    user: str | None  # who runs the server: Postgres refuses to run as root
    port: int
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    _databases: int = 0

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        options = [word for name, value in _OPTIONS.items() for word in ("-c", f"{name}={value}")]
        command = [self.binaries / "postgres", "-D", self.folder / "data", "-p", str(self.port), *options]
        # SIGQUIT ends the server and its children at once.
        log = self.folder / "log"
        process = processes.start(command, log=log, user=self.user, ends_with=signal.SIGQUIT)
        self._process = process
        for attempt in stamina.retry_context(
            on=psycopg.OperationalError, attempts=None, timeout=processes.PATIENCE, wait_initial=0.02, wait_max=0.2
        ):
            with attempt:
                processes.require_running(process, log)
                Database("postgres", self.port).connect().close()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT closes its connections and shuts down, SIGQUIT is like a crash."""
        if self._process:
            processes.stop(self._process, how)
            self._process = None

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server and start it again with the same data, on the same port."""
        self.stop(how)
        self.start()

    @property
    def process(self) -> int:
        """The id of the server's process."""
        assert self._process, "The server is not running."
        return self._process.pid

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[Database]:
        """Yield a new database, which is dropped in the end: a copy of another one, whose sessions are ended."""
        self._databases += 1
        database = Database(f"test_{self._databases}", self.port)
        self._execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{template}'",  # noqa: S608
            f"CREATE DATABASE {database.name} TEMPLATE {template}",
        )
        yield database
        if not self._process:
            self.start()
        self._execute(f"DROP DATABASE IF EXISTS {database.name} WITH (FORCE)")

    def _execute(self, *statements: str) -> None:
        with Database("postgres", self.port).connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())


@contextmanager
def running() -> Iterator[Postgres]:
    """Yield a new server. Skip the test if Postgres is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    if not found:
        pytest.skip("Postgres is not installed: apt-get install postgresql")
    user = "postgres" if os.getuid() == 0 else None
    with processes.private_folder(user) as folder:
        _create(found[-1], folder, user)
        [port] = processes.free_ports(1)
        server = Postgres(found[-1], folder, user, port)
        try:
            server.start()
            yield server
        finally:
            server.stop(signal.SIGQUIT)


def _secret(password: str) -> str:
    """Return what Postgres stores of a password, with one iteration: 4,096 take most of the time of a connection."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 1)
    client, server = (hmac.digest(salted, name, "sha256") for name in (b"Client Key", b"Server Key"))
    salt, stored, served = (b64encode(part).decode() for part in (b"salt", hashlib.sha256(client).digest(), server))
    return f"SCRAM-SHA-256$1:{salt}${stored}:{served}"


def _create(binaries: Path, folder: Path, user: str | None) -> None:
    password = folder / "password"
    password.write_text(_secret(PASSWORD))
    command = [
        binaries / "initdb", "--pgdata", folder / "data", "--no-sync", "--auth", "scram-sha-256", "--encoding", "UTF8",
        "--no-locale", "--username", USER, "--pwfile", password,
    ]  # fmt: skip
    log = folder / "initdb.log"
    process = processes.start(command, log=log, user=user, ends_with=signal.SIGKILL)
    assert process.wait(processes.PATIENCE) == 0, log.read_text()
