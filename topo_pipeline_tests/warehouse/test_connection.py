"""Opening the warehouse: its path, its file modes and its session settings."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError, WarehouseInUse
from topo_pipeline.warehouse.files import locked
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.limits import umask
from topo_pipeline_tests.warehouse.builders import (
    activity,
    land_into,
    landing_in,
    path_of,
    payloads,
    reading,
    records,
    storage_of,
    uuid_of,
)
from topo_pipeline_tests.warehouse.processes import Child

UNUSABLE = {
    "a file as parent folder": "file.txt/topo.duckdb",
    "a file that is not a database": "file.txt",
    "a folder": "folder",
    "a name that is too long": f"{'x' * 300}/topo.duckdb",
    "home of an unknown user": "~nobody-of-this-name/topo.duckdb",
    "the proc file system": "/proc/topo/topo.duckdb",
}


@pytest.fixture
def unusable(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    (tmp_path / "file.txt").write_text("not a database, but longer than its header\n" * 500)
    (tmp_path / "folder").mkdir()
    name = UNUSABLE[request.param]
    return name if name.startswith("~") else str(tmp_path / name)


@pytest.mark.parametrize("unusable", UNUSABLE, indirect=True)
@pytest.mark.parametrize("prefix", ["", pytest.param("ducklake:", marks=pytest.mark.full)])
@pytest.mark.parametrize("open_as", ["transaction", "reader"])
def test_an_unusable_path_is_a_one_line_error_that_names_it(unusable: str, prefix: str, open_as: str) -> None:
    warehouse = Warehouse(prefix + unusable, wait_seconds=PATIENCE)
    with pytest.raises(WarehouseError) as caught:
        getattr(warehouse, open_as)().__enter__()
    assert Path(unusable).name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_reading_a_missing_warehouse_says_what_to_do_and_creates_nothing(on_disk: Warehouse) -> None:
    with pytest.raises(WarehouseError, match=f"no warehouse at {on_disk.name}.*Read a day"), on_disk.reader():
        pass
    assert not path_of(on_disk).parent.exists()


def test_the_first_transaction_creates_the_parent_folders(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "some" / "where" / "topo.duckdb"))
    warehouse.prepare()
    assert path_of(warehouse).is_file()
    assert records(warehouse, "topo.activities") == []


@pytest.mark.parametrize(
    "name",
    [
        *("topo.duckdb", "warehouse.duckdb", "it's; --.db"),
        *(pytest.param(name, marks=pytest.mark.full) for name in ("temp.duckdb", "engagement.duckdb", "topo", "a.b c")),
    ],
)
def test_the_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    warehouse = Warehouse(str(tmp_path / name))
    with landing_in(warehouse) as (_, land):
        land(reading(activity(1)))
        land(reading(activity(1), activity(2)))
    assert len(records(warehouse, "landed_days")) == 1
    assert payloads(warehouse).keys() == {uuid_of(1), uuid_of(2)}


def test_the_path_may_contain_quotes_spaces_and_sql(tmp_path: Path) -> None:
    folder = tmp_path / "it's; DROP TABLE topo.activities; -- \" $x {}"
    warehouse = Warehouse(f"ducklake:{folder / 'a lake.db'}")
    land_into(warehouse, reading(*(activity(number) for number in range(50))))
    assert len(payloads(warehouse)) == 50
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_the_file_is_a_plain_duckdb_database(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(activity(1)))
    with duckdb.connect(str(path_of(file_warehouse)), read_only=True) as connection:
        assert connection.execute("SELECT id::VARCHAR FROM topo.topo.activities").fetchall() == [(uuid_of(1),)]


def test_a_new_file_has_the_current_storage_version(file_warehouse: Warehouse) -> None:
    file_warehouse.prepare()
    assert storage_of(path_of(file_warehouse)) == "v1.4.0+"


def test_the_next_transaction_upgrades_the_storage_of_an_older_file(
    file_warehouse: Warehouse,
) -> None:
    land_into(file_warehouse, reading(activity(1)))
    newer = path_of(file_warehouse).rename(path_of(file_warehouse).with_name("newer.duckdb"))
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{newer}' AS newer (READ_ONLY)")
        connection.execute(f"ATTACH '{path_of(file_warehouse)}' AS older (STORAGE_VERSION 'v1.0.0')")
        connection.execute("COPY FROM DATABASE newer TO older")
    assert payloads(file_warehouse).keys() == {uuid_of(1)}
    assert storage_of(path_of(file_warehouse)) == "v1.0.0+"
    land_into(file_warehouse, reading(activity(1), activity(2)))
    assert payloads(file_warehouse).keys() == {uuid_of(1), uuid_of(2)}
    assert storage_of(path_of(file_warehouse)) == "v1.4.0+"


def test_home_and_relative_paths_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert path_of(Warehouse("~/topo.duckdb")) == path_of(Warehouse("ducklake:topo.duckdb")) == tmp_path / "topo.duckdb"


def test_a_reader_cannot_write(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(activity(1)))
    with file_warehouse.reader() as connection, pytest.raises(duckdb.Error, match="read-only"):
        connection.execute("DELETE FROM topo.activities")
    assert len(records(file_warehouse, "topo.activities")) == 1


def test_names_in_sql_never_refer_to_python_variables(file_warehouse: Warehouse) -> None:
    frame = pd.DataFrame({"a": [1]})
    with file_warehouse.reader() as connection, pytest.raises(duckdb.CatalogException, match="frame"):
        connection.execute("SELECT * FROM frame")
    assert len(frame) == 1


ZONES = """
import sys
from topo_pipeline.warehouse.connection import Warehouse
for open_as in (Warehouse(sys.argv[1]).transaction, Warehouse(sys.argv[1]).reader):
    with open_as() as connection:
        print(connection.sql("SELECT current_setting('TimeZone'), created_at::VARCHAR FROM topo.activities").fetchone())
"""


def test_sessions_are_in_utc_in_any_time_zone(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(activity(0)))
    run = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", ZONES, file_warehouse.target],
        env=os.environ | {"TZ": "America/New_York"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines() == ["('UTC', '2026-03-01 12:00:00+00')"] * 2


def test_a_connection_is_closed_after_its_transaction(file_warehouse: Warehouse) -> None:
    with file_warehouse.transaction() as writer:
        pass
    with file_warehouse.reader() as reader:
        pass
    for connection in (writer, reader):
        with pytest.raises(duckdb.ConnectionException, match="closed"):
            connection.execute("SELECT 1")


def modes_in(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_a_new_warehouse_and_its_temporary_files_are_private_with_any_umask(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "data" / "topo.duckdb"))
    with umask(0), warehouse.transaction():
        during = modes_in(path_of(warehouse).parent)
        [spilling] = (name for name in during if name.startswith(".topo.duckdb.spilling-"))
        assert during == {"topo.duckdb": 0o600, "topo.duckdb.wal": 0o600, spilling: 0o700}
    assert modes_in(path_of(warehouse).parent) == {"topo.duckdb": 0o600}


def test_a_write_ahead_log_left_by_a_crash_is_private(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    with umask(0):
        assert Child(commit_and_be_killed, warehouse.target).wait() == -signal.SIGKILL
    modes = modes_in(tmp_path)
    assert {name: mode for name, mode in modes.items() if not name.startswith(".")} == {
        "topo.duckdb": 0o600,
        "topo.duckdb.wal": 0o600,
    }
    assert records(warehouse, "topo.activities") == []
    assert not any(name.startswith(".") for name in modes_in(tmp_path))


def commit_and_be_killed(target: str, _: object) -> None:
    os.umask(0)
    with Warehouse(target).transaction() as connection:
        connection.commit()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_new_lake_and_its_data_are_private(tmp_path: Path) -> None:
    lake = Warehouse(f"ducklake:{tmp_path / 'lake.db'}")
    with umask(0):
        land_into(lake, reading(activity(1)))
    assert modes_in(tmp_path) == {"lake.db": 0o600, "lake.db.files": 0o700}


def test_a_changed_file_mode_is_kept_and_applies_to_the_log(file_warehouse: Warehouse) -> None:
    path_of(file_warehouse).chmod(0o640)
    with file_warehouse.transaction():
        assert stat.S_IMODE(Path(f"{path_of(file_warehouse)}.wal").stat().st_mode) == 0o640
    assert modes_in(path_of(file_warehouse).parent) == {"topo.duckdb": 0o640}


def test_a_symbolic_link_to_a_new_warehouse_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "topo.duckdb"
    link.symlink_to(tmp_path / "disk" / "real.duckdb")
    with umask(0):
        Warehouse(str(link)).prepare()
    assert link.is_symlink()
    assert modes_in(tmp_path / "disk") == {"real.duckdb": 0o600}


@pytest.mark.parametrize("open_as", ["transaction", "reader"])
def test_a_locked_folder_is_an_error_after_the_waiting_time(file_warehouse: Warehouse, open_as: str) -> None:
    no_wait = Warehouse(file_warehouse.target, wait_seconds=0.1)
    folder = path_of(file_warehouse).parent
    with locked(folder, wait_seconds=0.1), pytest.raises(WarehouseInUse, match="locked the folder") as error:
        getattr(no_wait, open_as)().__enter__()
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)
    file_warehouse.prepare()
