"""The folder that BI tools read: whole, of one moment, honest in its types, and never half there."""

import json
import os
import shutil
import signal
import stat
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from topo_pipeline.defs.activities import LISTS
from topo_pipeline.exports import parquet as parquet_module
from topo_pipeline.exports.parquet import Export, export_all
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.files import locked
from topo_pipeline_tests.engagement.helpers import KEPT_BESIDE, TABLES, Workspace, march, uid
from topo_pipeline_tests.exports.conftest import ACTIVITIES
from topo_pipeline_tests.limits import files_no_larger_than, umask
from topo_pipeline_tests.maintenance.test_forget import forget_from
from topo_pipeline_tests.warehouse import conftest as of_the_warehouse
from topo_pipeline_tests.warehouse.processes import Child

SetHook, on_waiting = of_the_warehouse.SetHook, of_the_warehouse.on_waiting
NOW = datetime(2026, 4, 2, 6, 30, tzinfo=UTC)
EXPORTED = {*(f"engagement.{name}" for name in (*TABLES, *KEPT_BESIDE)), "topo.activities", "topo.loads"} | {
    f"topo.{table}" for table in LISTS
}


def export(world: Workspace, hour: int = 0) -> Export:
    return export_all(world.warehouse, root(world), now=NOW + timedelta(hours=hour))


def root(world: Workspace) -> Path:
    return Path(world.target).parent / "it's a \U0001f4e6 folder"


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text(encoding="utf-8")))


def read(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(sql).fetchall()


def as_text_if_id(value: object) -> object:
    return str(value) if isinstance(value, uuid.UUID) else value


def parquet(*parts: str | Path) -> str:
    return "read_parquet('" + str(Path(*parts)).replace("'", "''") + "')"


@pytest.fixture(scope="module")
def exported(exported_world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Export]:
    """A world and its first export, to be looked at only."""
    world = Workspace(str(shutil.copy(exported_world, tmp_path_factory.mktemp("exported"))))
    return world, export(world)


def test_every_row_of_every_table_is_there(exported: tuple[Workspace, Export]) -> None:
    world, done = exported
    latest = root(world) / "latest"
    told = manifest(latest)
    assert set(told["tables"]) == EXPORTED
    for name, table in told["tables"].items():
        files = [latest / file["path"] for file in table["files"]]
        rows = sorted(map(repr, (row for file in files for row in read(f"FROM {parquet(file)}"))))
        columns = "* EXCLUDE (payload)" if name == "topo.activities" else "*"
        there = world.select(f"SELECT {columns} FROM {name}")  # noqa: S608
        assert rows == sorted(repr(tuple(map(as_text_if_id, row))) for row in there)
        assert table["rows"] == len(rows)
        assert [file["bytes"] for file in table["files"]] == [file.stat().st_size for file in files]
    assert (done.tables, done.rows) == (len(EXPORTED), sum(table["rows"] for table in told["tables"].values()))
    assert done.bytes == sum(path.stat().st_size for path in done.folder.rglob("*.parquet"))


def test_types_are_those_that_every_reader_knows(exported: tuple[Workspace, Export]) -> None:
    world, _ = exported
    for table in manifest(root(world) / "latest")["tables"].values():
        for file in table["files"]:
            described = read(f"DESCRIBE FROM {parquet(root(world), 'latest', file['path'])}")
            assert [(name, kind) for name, kind, *_ in described] == [(c["name"], c["type"]) for c in table["columns"]]
            # Readers make a float of a HUGEINT, local time of a TIMESTAMP, and sixteen bytes of a UUID.
            assert not {"HUGEINT", "TIMESTAMP", "UUID"} & {kind for _, kind, *_ in described}


def test_the_manifest_says_whose_it_is_up_to_when_and_what_each_column_means(world: Workspace) -> None:
    organization = uuid.uuid4()
    with world.warehouse.transaction() as connection:
        connection.execute("UPDATE topo.workspace SET organization_id = ?", [organization])
    export(world)
    told = manifest(root(world) / "latest")
    assert told["organization_id"] == str(organization)
    assert (told["timezone"], told["first_day"], told["last_day"]) == ("UTC", "2026-03-01", "2026-04-02")
    assert told["as_of"] == "2026-03-04T00:00:00+00:00"  # the 2nd of April is still open, the days between are missing
    assert told["written_at"] == "2026-04-02T06:30:00+00:00"
    assert all(table["comment"] for table in told["tables"].values())
    assert all(column["comment"] for table in told["tables"].values() for column in table["columns"])


def test_payloads_and_keys_of_hashes_stay_at_home(exported: tuple[Workspace, Export]) -> None:
    folder = exported[1].folder
    names = {row[0] for path in folder.rglob("*.parquet") for row in read(f"DESCRIBE FROM {parquet(path)}")}
    assert not {"payload", "raw", "hash_key", "id_hash"} & names


def test_activities_are_a_file_a_month_in_the_order_in_which_they_were(exported: tuple[Workspace, Export]) -> None:
    folder = exported[1].folder / "topo" / "activities"
    assert sorted(path.name for path in folder.iterdir()) == ["2026-03.parquet", "2026-04.parquet"]
    instants = [row[1] for row in read(f"FROM {parquet(folder, '2026-03.parquet')}")]
    assert instants == sorted(activity.created_at for activity in ACTIVITIES[:-1])


def test_who_is_forgotten_is_in_no_later_export(world: Workspace) -> None:
    export(world)
    forget_from(world.warehouse, uuid.UUID(uid("Ada")), now=NOW)
    folder = export(world).folder
    shown = str([read(f"FROM {parquet(path)}") for path in folder.rglob("*.parquet")])
    assert uid("Bob") in shown
    assert uid("Ada") not in shown
    assert uid("A") not in shown


def test_the_export_before_is_kept_and_older_ones_are_not_nor_is_anything_of_others_touched(world: Workspace) -> None:
    folders = [export(world, hour).folder for hour in range(3)]
    (root(world) / "mine").mkdir()
    folders.append(export(world, 3).folder)
    assert [folder.exists() for folder in folders] == [False, False, True, True]
    assert sorted(path.name for path in root(world).iterdir()) == sorted(
        ["latest", "mine", folders[2].name, folders[3].name]
    )
    assert (root(world) / "latest").resolve() == folders[3].resolve()


def test_who_is_reading_one_export_reads_on_while_the_next_is_published(world: Workspace) -> None:
    export(world)
    reading = (root(world) / "latest").resolve()
    world.land(march(33).date(), [])
    export(world)
    assert len(read(f"FROM {parquet(reading, 'topo/activities/*.parquet')}")) == len(ACTIVITIES)
    assert len(read(f"FROM {parquet(root(world), 'latest/topo/activities/*.parquet')}")) == len(ACTIVITIES) - 1


def export_and_be_killed(dies: str, target: str, folder: Path, _: Any) -> None:
    """Export, and be killed where the function of this name is called: while files are written, or at the end."""
    place: Any = Path if dies == "replace" else parquet_module
    original = getattr(place, dies)

    def die(*values: Any, **named: Any) -> Any:
        if dies != "_write_one" or values[1].name.endswith("sequence_steps"):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*values, **named)

    setattr(place, dies, die)
    export_all(Warehouse(target), folder, now=NOW + timedelta(days=1))


@pytest.mark.parametrize("dies", ["_write_one", "_publish", "replace"])
def test_a_kill_leaves_the_export_before_and_the_next_one_clears_up(world: Workspace, dies: str) -> None:
    before = export(world).folder
    told = manifest(root(world) / "latest")
    assert Child(export_and_be_killed, dies, world.target, root(world)).wait() == -signal.SIGKILL
    assert (root(world) / "latest").resolve() == before.resolve()
    assert manifest(root(world) / "latest") == told
    export(world)
    assert len(list(root(world).iterdir())) == 3  # two exports and the link


def test_a_full_disk_is_said_in_one_sentence_and_the_export_before_stays(world: Workspace) -> None:
    before = export(world).folder
    world.land(march(33).date(), [])
    with files_no_larger_than(4_000), pytest.raises(WarehouseError, match="can't be written") as error:
        export(world)
    assert "\n" not in str(error.value)
    assert (root(world) / "latest").resolve() == before.resolve()
    assert sorted(root(world).iterdir()) == [before, root(world) / "latest"]


def test_a_place_that_can_not_be_written_is_said_in_one_sentence(world: Workspace) -> None:
    root(world).write_text("a file where the folder would be")
    with pytest.raises(WarehouseError, match="The export to .* can't be written"):
        export(world)


def test_what_has_the_name_of_the_link_is_not_replaced(world: Workspace) -> None:
    root(world).mkdir()
    (root(world) / "latest").write_text("precious")
    with pytest.raises(WarehouseError, match="latest is not the link to the last export"):
        export(world)
    assert (root(world) / "latest").read_text() == "precious"
    assert [path.name for path in root(world).iterdir()] == ["latest"]


@pytest.mark.parametrize(("mask", "modes"), [(0o022, {0o755, 0o644}), (0o077, {0o700, 0o600})])
def test_modes_follow_the_umask(world: Workspace, mask: int, modes: set[int]) -> None:
    with umask(mask):
        folder = export(world).folder
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))} == modes


def test_an_export_waits_for_another_as_long_as_for_the_warehouse(world: Workspace, on_waiting: SetHook) -> None:
    root(world).mkdir()
    tries: list[None] = []
    on_waiting(lambda: tries.append(None))
    impatient = Warehouse(world.target, wait_seconds=0.1)
    with locked(root(world), wait_seconds=0.01), pytest.raises(WarehouseError, match="has locked the folder") as error:
        export_all(impatient, root(world), now=NOW)
    assert tries
    assert str(root(world)) in str(error.value)
    assert list(root(world).iterdir()) == []


def test_without_a_warehouse_there_is_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="no warehouse"):
        export_all(Warehouse(str(tmp_path / "none.duckdb")), tmp_path / "out", now=NOW)
    assert not os.path.lexists(tmp_path / "out" / "latest")


@pytest.mark.full
def test_a_lake_is_exported_too(tmp_path: Path) -> None:
    lake = Workspace(f"ducklake:{tmp_path / 'lake.ducklake'}")
    lake.land_all(ACTIVITIES)
    lake.build("sequence_activity")
    assert export_all(lake.warehouse, tmp_path / "out", now=NOW).tables == 4
    assert len(read(f"FROM {parquet(tmp_path, 'out/latest/topo/activities/*.parquet')}")) == len(ACTIVITIES)
