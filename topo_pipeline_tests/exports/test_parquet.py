"""The Parquet export for BI tools: complete, of one moment, with portable types, published in one step."""

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

from topo_pipeline.exports import parquet as parquet_module
from topo_pipeline.exports.parquet import Export, export_all
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.files import locked
from topo_pipeline_tests.engagement.helpers import Workspace, drop_all_but, march, uid
from topo_pipeline_tests.exports.conftest import ACTIVITIES
from topo_pipeline_tests.exports.readers import EXPORTED
from topo_pipeline_tests.limits import files_no_larger_than, umask
from topo_pipeline_tests.maintenance.test_forget import forget_from
from topo_pipeline_tests.warehouse import conftest as warehouse_conftest
from topo_pipeline_tests.warehouse.processes import Child

SetHook, on_waiting = warehouse_conftest.SetHook, warehouse_conftest.on_waiting
NOW = datetime(2026, 4, 2, 6, 30, tzinfo=UTC)


def export(workspace: Workspace, hour: int = 0) -> Export:
    return export_all(workspace.warehouse, root(workspace), now=NOW + timedelta(hours=hour))


def root(workspace: Workspace) -> Path:
    return Path(workspace.target).parent / "it's a \U0001f4e6 folder"


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
def exported(built_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Export]:
    """A workspace and its first export; tests must not change them."""
    workspace = Workspace(str(shutil.copy(built_workspace, tmp_path_factory.mktemp("exported"))))
    return workspace, export(workspace)


@pytest.fixture(scope="module")
def few_tables(built_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace with a few metric tables, which are quicker to export than all."""
    file = Path(shutil.copy(built_workspace, tmp_path_factory.mktemp("few")))
    drop_all_but(Warehouse(str(file)), "sequence_steps")
    return file


@pytest.fixture
def workspace(few_tables: Path, tmp_path: Path) -> Workspace:
    return Workspace(str(shutil.copy(few_tables, tmp_path / "topo.duckdb")))


def test_every_row_of_every_table_is_exported(exported: tuple[Workspace, Export]) -> None:
    workspace, done = exported
    latest = root(workspace) / "latest"
    content = manifest(latest)
    assert set(content["tables"]) == EXPORTED
    for name, table in content["tables"].items():
        files = [latest / file["path"] for file in table["files"]]
        rows = sorted(map(repr, (row for file in files for row in read(f"FROM {parquet(file)}"))))
        columns = "* EXCLUDE (payload)" if name == "topo.activities" else "*"
        there = workspace.select(f"SELECT {columns} FROM {name}")  # noqa: S608
        assert rows == sorted(repr(tuple(map(as_text_if_id, row))) for row in there)
        assert table["rows"] == len(rows)
        assert [file["bytes"] for file in table["files"]] == [file.stat().st_size for file in files]
    assert (done.tables, done.rows) == (len(EXPORTED), sum(table["rows"] for table in content["tables"].values()))
    assert done.bytes == sum(path.stat().st_size for path in done.folder.rglob("*.parquet"))


def test_column_types_are_portable(exported: tuple[Workspace, Export]) -> None:
    workspace, _ = exported
    for table in manifest(root(workspace) / "latest")["tables"].values():
        for file in table["files"]:
            described = read(f"DESCRIBE FROM {parquet(root(workspace), 'latest', file['path'])}")
            assert [(name, kind) for name, kind, *_ in described] == [(c["name"], c["type"]) for c in table["columns"]]
            assert table["comment"]
            assert all(column["comment"] for column in table["columns"])
            # Readers turn a HUGEINT into a float, a TIMESTAMP into local time and a UUID into 16 bytes.
            assert not {"HUGEINT", "TIMESTAMP", "UUID"} & {kind for _, kind, *_ in described}


def test_the_manifest_has_the_organization_the_days_and_every_comment(workspace: Workspace) -> None:
    organization = uuid.uuid4()
    with workspace.warehouse.transaction() as connection:
        connection.execute("UPDATE topo.workspace SET organization_id = ?", [organization])
    export(workspace)
    content = manifest(root(workspace) / "latest")
    assert content["organization_id"] == str(organization)
    assert (content["timezone"], content["first_day"], content["last_day"]) == ("UTC", "2026-03-01", "2026-04-02")
    assert content["as_of"] == "2026-03-04T00:00:00+00:00"  # 2 April is open, and the days before it are missing
    assert content["written_at"] == "2026-04-02T06:30:00+00:00"
    assert all(table["comment"] for table in content["tables"].values())
    assert all(column["comment"] for table in content["tables"].values() for column in table["columns"])


def test_payloads_and_hash_keys_are_not_exported(exported: tuple[Workspace, Export]) -> None:
    folder = exported[1].folder
    names = {row[0] for path in folder.rglob("*.parquet") for row in read(f"DESCRIBE FROM {parquet(path)}")}
    assert not {"payload", "raw", "hash_key", "id_hash"} & names


def test_activities_are_one_file_per_month_sorted_by_time(exported: tuple[Workspace, Export]) -> None:
    folder = exported[1].folder / "topo" / "activities"
    assert sorted(path.name for path in folder.iterdir()) == ["2026-03.parquet", "2026-04.parquet"]
    instants = [row[1] for row in read(f"FROM {parquet(folder, '2026-03.parquet')}")]
    assert instants == sorted(activity.created_at for activity in ACTIVITIES[:-1])


def test_an_erased_person_is_in_no_later_export(workspace: Workspace) -> None:
    export(workspace)
    forget_from(workspace.warehouse, uuid.UUID(uid("Ada")), now=NOW)
    folder = export(workspace).folder
    shown = str([read(f"FROM {parquet(path)}") for path in folder.rglob("*.parquet")])
    assert uid("Bob") in shown
    assert uid("Ada") not in shown
    assert uid("A") not in shown


def test_only_exports_older_than_the_previous_one_are_deleted(workspace: Workspace) -> None:
    folders = [export(workspace, hour).folder for hour in range(3)]
    (root(workspace) / "mine").mkdir()
    folders.append(export(workspace, 3).folder)
    assert [folder.exists() for folder in folders] == [False, False, True, True]
    assert sorted(path.name for path in root(workspace).iterdir()) == sorted(
        ["latest", "mine", folders[2].name, folders[3].name]
    )
    assert (root(workspace) / "latest").resolve() == folders[3].resolve()


def test_readers_of_an_export_are_not_disturbed_by_the_next_one(workspace: Workspace) -> None:
    export(workspace)
    reading = (root(workspace) / "latest").resolve()
    workspace.land(march(33).date(), [])
    export(workspace)
    assert len(read(f"FROM {parquet(reading, 'topo/activities/*.parquet')}")) == len(ACTIVITIES)
    assert len(read(f"FROM {parquet(root(workspace), 'latest/topo/activities/*.parquet')}")) == len(ACTIVITIES) - 1


def export_and_be_killed(killed_at: str, target: str, folder: Path, _: Any) -> None:
    """Export, and be killed when the function of this name is called."""
    owner: Any = Path if killed_at == "replace" else parquet_module
    original = getattr(owner, killed_at)

    def kill(*values: Any, **named: Any) -> Any:
        if killed_at != "_write_file" or values[1].name.endswith("sequence_steps"):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*values, **named)

    setattr(owner, killed_at, kill)
    export_all(Warehouse(target), folder, now=NOW + timedelta(days=1))


@pytest.mark.parametrize("killed_at", ["_write_file", "_publish", "replace"])
def test_a_killed_export_leaves_the_previous_one_and_the_next_cleans_up(workspace: Workspace, killed_at: str) -> None:
    before = export(workspace).folder
    content = manifest(root(workspace) / "latest")
    assert Child(export_and_be_killed, killed_at, workspace.target, root(workspace)).wait() == -signal.SIGKILL
    assert (root(workspace) / "latest").resolve() == before.resolve()
    assert manifest(root(workspace) / "latest") == content
    export(workspace)
    assert len(list(root(workspace).iterdir())) == 3  # two exports and the link


def test_a_full_disk_is_a_one_line_error_and_the_previous_export_stays(workspace: Workspace) -> None:
    before = export(workspace).folder
    workspace.land(march(33).date(), [])
    with files_no_larger_than(4_000), pytest.raises(WarehouseError, match="can't be written") as error:
        export(workspace)
    assert "\n" not in str(error.value)
    assert (root(workspace) / "latest").resolve() == before.resolve()
    assert sorted(root(workspace).iterdir()) == [before, root(workspace) / "latest"]


def test_an_unwritable_folder_is_an_error(workspace: Workspace) -> None:
    root(workspace).write_text("a file where the folder would be")
    with pytest.raises(WarehouseError, match="The export to .* can't be written"):
        export(workspace)


def test_a_file_with_the_name_of_the_link_is_not_replaced(workspace: Workspace) -> None:
    root(workspace).mkdir()
    (root(workspace) / "latest").write_text("precious")
    with pytest.raises(WarehouseError, match="latest is not the link to the last export"):
        export(workspace)
    assert (root(workspace) / "latest").read_text() == "precious"
    assert [path.name for path in root(workspace).iterdir()] == ["latest"]


@pytest.mark.parametrize(("mask", "modes"), [(0o022, {0o755, 0o644}), (0o077, {0o700, 0o600})])
def test_modes_follow_the_umask(workspace: Workspace, mask: int, modes: set[int]) -> None:
    with umask(mask):
        folder = export(workspace).folder
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))} == modes


def test_an_export_waits_for_another_until_the_warehouse_timeout(workspace: Workspace, on_waiting: SetHook) -> None:
    root(workspace).mkdir()
    tries: list[None] = []
    on_waiting(lambda: tries.append(None))
    impatient = Warehouse(workspace.target, wait_seconds=0.1)
    with (
        locked(root(workspace), wait_seconds=0.01),
        pytest.raises(WarehouseError, match="has locked the folder") as error,
    ):
        export_all(impatient, root(workspace), now=NOW)
    assert tries
    assert str(root(workspace)) in str(error.value)
    assert list(root(workspace).iterdir()) == []


def test_an_export_without_a_warehouse_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="no warehouse"):
        export_all(Warehouse(str(tmp_path / "none.duckdb")), tmp_path / "out", now=NOW)
    assert not os.path.lexists(tmp_path / "out" / "latest")


@pytest.mark.full
def test_a_lake_can_be_exported(tmp_path: Path) -> None:
    lake = Workspace(f"ducklake:{tmp_path / 'lake.ducklake'}")
    lake.land_all(ACTIVITIES)
    lake.build("sequence_activity")
    assert export_all(lake.warehouse, tmp_path / "out", now=NOW).tables == 4
    assert len(read(f"FROM {parquet(tmp_path, 'out/latest/topo/activities/*.parquet')}")) == len(ACTIVITIES)
