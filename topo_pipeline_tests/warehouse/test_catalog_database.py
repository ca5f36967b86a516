"""Sessions of a shared lake's database are used again, without any state of the previous use."""

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.places.catalog_database import CatalogDatabase
from topo_pipeline_tests.conftest import PATIENCE

if TYPE_CHECKING:
    from topo_pipeline_tests.services.postgres import Database, Postgres

FORK = """
import os, sys
from topo_pipeline.warehouse.places.catalog_database import CatalogDatabase
def used():
    with CatalogDatabase(sys.argv[1]).session("lake") as session:
        return session.execute("SELECT pg_backend_pid()").fetchall()
first = used()
child = os.fork()
if child == 0:
    os._exit(7 if used() != first else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
sys.exit(0 if used() == first else 1)
"""


def process_of(database: CatalogDatabase, statement: str = "SELECT 1") -> int:
    """Execute a statement and return the process that serves the session."""
    with database.session("lake") as session:
        session.execute(statement.encode())
        return session.info.backend_pid


def test_a_session_is_used_again_without_its_locks_and_settings(postgres_database: "Database") -> None:
    database = CatalogDatabase(postgres_database.dsn)
    first = process_of(database, "SELECT pg_advisory_lock(7), set_config('lock_timeout', '7ms', false)")
    with postgres_database.connect() as other:
        assert other.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchall() == [(0,)]
    with CatalogDatabase(postgres_database.dsn).session("lake") as session:
        assert session.info.backend_pid == first
        assert session.execute("SHOW lock_timeout").fetchall() == [("0",)]
        assert session.execute("SHOW tcp_keepalives_idle").fetchall() == [("10",)]


def test_sessions_that_are_open_at_the_same_time_are_different(postgres_database: "Database") -> None:
    database = CatalogDatabase(postgres_database.dsn)
    with database.session("lake") as one, database.session("lake") as other:
        assert one.info.backend_pid != other.info.backend_pid


def test_after_an_error_a_session_is_not_used_again(postgres_database: "Database") -> None:
    database = CatalogDatabase(postgres_database.dsn)
    with pytest.raises(KeyboardInterrupt), database.session("lake") as session:
        first = session.info.backend_pid
        raise KeyboardInterrupt
    assert process_of(database) != first


def test_a_session_that_was_lost_is_replaced(postgres: "Postgres", postgres_database: "Database") -> None:
    database = CatalogDatabase(postgres_database.dsn)
    first = process_of(database)
    postgres.restart(signal.SIGQUIT)
    assert process_of(database) != first
    with database.session("lake"):
        postgres.restart(signal.SIGQUIT)  # no error: the caller has noticed it if it matters
    postgres.stop()
    with pytest.raises(WarehouseError, match="The warehouse lake can't be opened"):
        process_of(database)


def test_a_forked_process_has_sessions_of_its_own(postgres_database: "Database") -> None:
    command = [sys.executable, "-c", FORK, postgres_database.dsn]
    assert subprocess.run(command, timeout=PATIENCE, check=False).returncode == 0  # noqa: S603 - the test's own
