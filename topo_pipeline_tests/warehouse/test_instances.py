"""DuckDB instances are reused, without any state of the previous use."""

import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from duckdb import DuckDBPyConnection

from topo_pipeline.warehouse import extensions
from topo_pipeline.warehouse import instances as reused
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.warehouse.builders import path_of

FORK_AND_COUNT = """
import os, sys
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.warehouse.builders import path_of
def count():
    with Warehouse(sys.argv[1]).reader() as connection:
        return connection.execute("SELECT count(*) FROM topo.loads").fetchall()
count()
child = os.fork()
if child == 0:
    os._exit(7 if count() == [(0,)] else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture(autouse=True)
def created(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[DuckDBPyConnection]]:
    """Return the instances that the test creates. Idle instances of earlier tests are not used."""
    instances: list[DuckDBPyConnection] = []
    new_instance = extensions.new_instance

    def create() -> DuckDBPyConnection:
        instances.append(new_instance())
        return instances[-1]

    monkeypatch.setattr(extensions, "new_instance", create)
    monkeypatch.setattr(reused, "_IDLE", defaultdict(list))
    yield instances
    for instance in instances:
        instance.close()


def count(warehouse: Warehouse) -> int:
    with warehouse.reader() as connection:
        [(rows,)] = connection.execute("SELECT count(*) FROM topo.loads").fetchall()
        return int(rows)


def test_an_instance_is_reused(tmp_path: Path, created: list[DuckDBPyConnection]) -> None:
    for name in ("one", "two"):
        warehouse = Warehouse(str(tmp_path / f"{name}.duckdb"))
        warehouse.prepare()
        assert count(warehouse) == 0
    assert len(created) == 1
    [databases] = created[0].execute("SELECT list(database_name) FROM duckdb_databases() WHERE NOT internal").fetchall()
    assert databases == (["memory"],)


def test_a_reused_instance_keeps_no_state(file_warehouse: Warehouse, created: list[DuckDBPyConnection]) -> None:
    with file_warehouse.transaction() as connection:
        connection.execute("CREATE TEMP TABLE mine AS SELECT 1")
        connection.execute("CREATE TEMP MACRO own() AS 1")
        connection.execute("SET VARIABLE hash_key = 'secret'; SET TimeZone = 'Asia/Tokyo'")
    with file_warehouse.reader() as connection:
        assert connection.execute("SELECT getvariable('hash_key'), current_setting('TimeZone')").fetchall() == [
            (None, "UTC")
        ]
        for statement in ("FROM mine", "SELECT own()"):
            with pytest.raises(duckdb.CatalogException):
                connection.execute(statement)
    assert len(created) == 1


def test_after_an_error_the_instance_is_closed_and_the_file_unlocked(
    file_warehouse: Warehouse, created: list[DuckDBPyConnection]
) -> None:
    with pytest.raises(ZeroDivisionError), file_warehouse.transaction() as connection:
        connection.execute("CREATE TABLE topo.half AS SELECT 1")
        raise ZeroDivisionError
    with pytest.raises(duckdb.ConnectionException):
        created[0].execute("SELECT 1")
    assert count(file_warehouse) == 0
    assert len(created) == 2


def test_concurrent_uses_have_separate_instances(tmp_path: Path, created: list[DuckDBPyConnection]) -> None:
    one, other = (Warehouse(str(tmp_path / f"{name}.duckdb")) for name in ("one", "other"))
    with one.transaction() as connection, other.transaction():
        assert connection.execute("SELECT count(*) FROM topo.loads").fetchall() == [(0,)]
    assert len(created) == 2
    counted: list[int] = []
    threads = [threading.Thread(target=lambda each: counted.append(count(each)), args=[each]) for each in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert counted == [0, 0]


def test_an_instance_that_has_spilled_to_disk_is_not_reused(
    file_warehouse: Warehouse, created: list[DuckDBPyConnection]
) -> None:
    file_warehouse.prepare()
    with file_warehouse.reader() as connection:
        connection.execute("SET memory_limit = '20MB'")
        connection.execute("CREATE TEMP TABLE much AS SELECT i, repeat('a', 100) AS text FROM range(1_000_000) AS t(i)")
    assert count(file_warehouse) == 0
    assert len(created) == 2
    assert [path.name for path in path_of(file_warehouse).parent.iterdir()] == [path_of(file_warehouse).name]


def test_a_forked_process_creates_its_own_instance(file_warehouse: Warehouse) -> None:
    file_warehouse.prepare()
    command = [sys.executable, "-c", FORK_AND_COUNT, file_warehouse.target]
    assert subprocess.run(command, timeout=PATIENCE, check=False).returncode == 7  # noqa: S603


@pytest.mark.parametrize("use", ["transaction", "reader", "exclusive"])
def test_an_exception_does_not_wait_for_a_running_query(file_warehouse: Warehouse, use: str) -> None:
    """The query would take hours."""
    file_warehouse.prepare()
    interrupted = threading.Timer(0.2, signal.raise_signal, [signal.SIGUSR1])
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    try:
        with pytest.raises((KeyboardInterrupt, RuntimeError)), getattr(file_warehouse, use)() as connection:
            interrupted.start()
            connection.execute("SELECT max(md5(i::VARCHAR)) FROM range(100_000_000_000) AS t(i)")
    finally:
        signal.signal(signal.SIGUSR1, before)
