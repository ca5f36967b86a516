"""Opening the warehouse: what it is called, what it can't be, how its sessions are set."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.warehouse.builders import (
    activity,
    land_into,
    landing_in,
    payloads,
    reading,
    records,
    storage_of,
    uuid_of,
)

UNUSABLE = {
    "a file as parent folder": "file.txt/topo.duckdb",
    "a file that is no database": "file.txt",
    "a folder": "folder",
    "a name too long": f"{'x' * 300}/topo.duckdb",
    "nobody's home": "~nobody-of-this-name/topo.duckdb",
    "a file system of the kernel": "/proc/topo/topo.duckdb",
}


@pytest.fixture
def unusable(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    (tmp_path / "file.txt").write_text("no database, but longer than a header of one\n" * 500)
    (tmp_path / "folder").mkdir()
    name = UNUSABLE[request.param]
    return name if name.startswith("~") else str(tmp_path / name)


@pytest.mark.parametrize("unusable", UNUSABLE, indirect=True)
@pytest.mark.parametrize("prefix", ["", pytest.param("ducklake:", marks=pytest.mark.full)])
@pytest.mark.parametrize("way", ["transaction", "reader"])
def test_an_unusable_path_is_one_sentence_that_names_it(unusable: str, prefix: str, way: str) -> None:
    warehouse = Warehouse(prefix + unusable, wait_seconds=PATIENCE)
    with pytest.raises(WarehouseError) as caught:
        getattr(warehouse, way)().__enter__()
    assert Path(unusable).name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_reader_of_a_warehouse_that_is_not_there_is_told_what_to_do_and_makes_none(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match=f"no warehouse at {warehouse.path}.*load a day"), warehouse.reader():
        pass
    assert not warehouse.path.parent.exists()


def test_the_first_transaction_makes_the_folders_above_the_warehouse(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "some" / "where" / "topo.duckdb"))
    warehouse.prepare()
    assert warehouse.path.is_file()
    assert records(warehouse, "topo.activities") == []


@pytest.mark.parametrize(
    "name", ["topo.duckdb", "warehouse.duckdb", "temp.duckdb", "engagement.duckdb", "topo", "a.b c.db", "it's; --.db"]
)
def test_the_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    warehouse = Warehouse(str(tmp_path / name))
    with landing_in(warehouse) as (_, land):
        land(reading(activity(1)))
        land(reading(activity(1), activity(2)))
    assert len(records(warehouse, "landed_days")) == 1
    assert payloads(warehouse).keys() == {uuid_of(1), uuid_of(2)}


def test_quotes_spaces_and_sql_in_the_path_do_no_harm(tmp_path: Path) -> None:
    folder = tmp_path / "it's; DROP TABLE topo.activities; -- \" $x {}"
    warehouse = Warehouse(f"ducklake:{folder / 'a lake.db'}")
    land_into(warehouse, reading(*(activity(number) for number in range(50))))
    assert len(payloads(warehouse)) == 50
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_file_is_plain_duckdb_for_everybody_else(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(activity(1)))
    with duckdb.connect(str(file_warehouse.path), read_only=True) as connection:
        assert connection.execute("SELECT id::VARCHAR FROM topo.topo.activities").fetchall() == [(uuid_of(1),)]


def test_a_file_is_of_a_storage_whose_checkpoints_pass_over_what_did_not_change(file_warehouse: Warehouse) -> None:
    file_warehouse.prepare()
    assert storage_of(file_warehouse.path) == "v1.4.0+"


def test_a_file_of_an_older_storage_is_taken_over_by_the_next_transaction_and_only_read_by_a_reader(
    file_warehouse: Warehouse,
) -> None:
    land_into(file_warehouse, reading(activity(1)))
    as_it_was = file_warehouse.path.rename(file_warehouse.path.with_name("newer.duckdb"))
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{as_it_was}' AS newer (READ_ONLY)")
        connection.execute(f"ATTACH '{file_warehouse.path}' AS older (STORAGE_VERSION 'v1.0.0')")
        connection.execute("COPY FROM DATABASE newer TO older")
    assert payloads(file_warehouse).keys() == {uuid_of(1)}
    assert storage_of(file_warehouse.path) == "v1.0.0+"
    land_into(file_warehouse, reading(activity(1), activity(2)))
    assert payloads(file_warehouse).keys() == {uuid_of(1), uuid_of(2)}
    assert storage_of(file_warehouse.path) == "v1.4.0+"


def test_a_home_and_a_relative_path_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert Warehouse("~/topo.duckdb").path == Warehouse("ducklake:topo.duckdb").path == tmp_path / "topo.duckdb"


def test_a_reader_can_not_write(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(activity(1)))
    with file_warehouse.reader() as connection, pytest.raises(duckdb.Error, match="read-only"):
        connection.execute("DELETE FROM topo.activities")
    assert len(records(file_warehouse, "topo.activities")) == 1


def test_a_name_in_sql_never_means_a_variable_of_python(file_warehouse: Warehouse) -> None:
    frame = pd.DataFrame({"a": [1]})
    with file_warehouse.reader() as connection, pytest.raises(duckdb.CatalogException, match="frame"):
        connection.execute("SELECT * FROM frame")
    assert len(frame) == 1


ZONES = """
import sys
from topo_pipeline.warehouse.connection import Warehouse
for way in (Warehouse(sys.argv[1]).transaction, Warehouse(sys.argv[1]).reader):
    with way() as connection:
        print(connection.sql("SELECT current_setting('TimeZone'), created_at::VARCHAR FROM topo.activities").fetchone())
"""


def test_sessions_are_in_utc_whatever_the_zone_of_the_process(file_warehouse: Warehouse) -> None:
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


def test_a_connection_is_closed_when_its_transaction_is_over(file_warehouse: Warehouse) -> None:
    with file_warehouse.transaction() as writer:
        pass
    with file_warehouse.reader() as reader:
        pass
    for connection in (writer, reader):
        with pytest.raises(duckdb.ConnectionException, match="closed"):
            connection.execute("SELECT 1")
