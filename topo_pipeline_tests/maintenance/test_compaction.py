"""Compaction removes deleted rows from the files, keeps everything else, and loses no commit."""

import errno
import fcntl
import os
import random
import shutil
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from topo_pipeline.maintenance.compaction import compact, require_compactable
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import NotCompacted, WarehouseError
from topo_pipeline.warehouse.files import being_opened, leftover_folders
from topo_pipeline.warehouse.landing import land_list
from topo_pipeline.warehouse.places import LocalLake, local
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.warehouse.builders import (
    DAY,
    HOSTILE,
    LANDED,
    LATER,
    activity,
    ask,
    land_into,
    path_of,
    payloads,
    reading,
    snapshot,
    storage_of,
    template,
    uuid_of,
)
from topo_pipeline_tests.warehouse.compactor import compactor
from topo_pipeline_tests.warehouse.conftest import ON_A_LAKE_TOO, SetHook
from topo_pipeline_tests.warehouse.worker import WORKERS_ROW, leave_in_the_log, worker

# Larger than every other id, so that it is also in the column statistics.
ERASED = uuid.UUID("feedc0de-9b1d-4e7f-8a6b-3d2c1f0e9d8b")
ROWS = 1_000
ERASED_ROWS = range(7, ROWS, 50)
DESCRIBED = {
    "duckdb_schemas": "schema_name",
    "duckdb_tables": "schema_name, table_name, comment",
    "duckdb_columns": "schema_name, table_name, column_index, column_name, data_type, is_nullable, column_default,"
    " comment",
    "duckdb_views": "schema_name, view_name, sql",
}

IN_THE_LOG = "INSERT INTO topo.topo.migrations VALUES (-1, 'in the log')"


def filled(warehouse: Warehouse) -> Warehouse:
    """Land activities, old versions and rejects of many people, one of whom will be erased."""
    dice = random.Random(2026)  # noqa: S311 - no secret
    people = [uuid.UUID(int=dice.getrandbits(126)) for _ in range(ROWS)]
    for number in ERASED_ROWS:
        people[number] = ERASED
    for kind in ("message.sent", "message.opened"):
        rows = (activity(n, {"type": kind, "person_id": str(person)}) for n, person in enumerate(people))
        land_into(warehouse, reading(*rows, rejects=((f'{{"person_id":"{ERASED}"', "cut"), (HOSTILE, "cut"))))
    with warehouse.transaction() as connection:
        land_list(connection, "sequence_templates", pd.DataFrame([template(1, name="it's"), template(2)]), now=LANDED)
        connection.execute('CREATE TABLE engagement."od""d; name" (a INTEGER NOT NULL, "b ""c" DECIMAL(9, 2)[])')
        connection.execute('INSERT INTO engagement."od""d; name" VALUES (1, [1.5, NULL])')
        connection.execute("COMMENT ON TABLE engagement.\"od\"\"d; name\" IS 'it''s; --'")
        connection.execute('COMMENT ON COLUMN engagement."od""d; name"."b ""c" IS \'"quoted"\'')
    return warehouse


def erased(warehouse: Warehouse) -> Warehouse:
    filled(warehouse)
    with warehouse.transaction() as connection:
        for table in ("activities", "activity_changes"):
            connection.execute(f"DELETE FROM topo.{table} WHERE person_id = ?", [ERASED])  # noqa: S608
        connection.execute("DELETE FROM topo.rejects WHERE contains(raw, ?)", [str(ERASED)])
    return warehouse


def forms(id_: uuid.UUID) -> tuple[bytes, ...]:
    """Return an id as text, as Parquet stores it, and as DuckDB does: little-endian with the highest bit flipped."""
    texts = (str(id_), id_.hex, str(id_).upper(), id_.hex.upper())
    return (*(text.encode() for text in texts), id_.bytes, (id_.int ^ (1 << 127)).to_bytes(16, "little"))


def files_with(folder: Path, id_: uuid.UUID = ERASED) -> set[str]:
    """Return the files that contain an id in any form, as bytes or when read with DuckDB."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = {path.name for path in files if any(form in path.read_bytes() for form in forms(id_))}
    return found | {path.name for path in files if str(id_) in as_read(path)}


def as_read(path: Path) -> str:
    """Return everything that DuckDB reads in a file, in case compression hides the bytes."""
    with duckdb.connect() as connection:
        if path.suffix == ".parquet":
            return str(connection.read_parquet(str(path)).fetchall())
        connection.execute(f"ATTACH '{path}' AS attached (READ_ONLY)")
        names = connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'attached'"
        ).fetchall()
        tables = (".".join(quoted("attached", *name)) for name in names)
        return str([connection.execute(f"FROM {table}").fetchall() for table in tables])


def quoted(*names: str) -> list[str]:
    return ['"' + name.replace('"', '""') + '"' for name in names]


def everything(warehouse: Warehouse) -> dict[str, Any]:
    """Return every table with its columns, types, comments and rows; those of a file in stored order."""
    with warehouse.reader() as connection:
        found = {
            view: connection.execute(
                f"SELECT {columns} FROM {view}() WHERE database_name = 'warehouse' ORDER BY ALL"  # noqa: S608
            ).fetchall()
            for view, columns in DESCRIBED.items()
        }
        for schema, table, _ in found["duckdb_tables"]:
            order = "ORDER BY ALL" if is_lake(warehouse) else ""
            rows = connection.execute(f"FROM {'.'.join(quoted(schema, table))} {order}").fetchall()
            found[f"{schema}.{table}"] = rows
    return found


def is_lake(warehouse: Warehouse) -> bool:
    return isinstance(warehouse.place, LocalLake)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def inode(path: Path) -> int:
    return path.stat().st_ino


@pytest.fixture
def warehouse(on_disk: Warehouse) -> Warehouse:
    return on_disk


@pytest.fixture(scope="module")
def erased_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return path_of(erased(Warehouse(str(tmp_path_factory.mktemp("erased") / "topo.duckdb"))))


@pytest.fixture
def after_a_deletion(warehouse: Warehouse, erased_file: Path) -> Warehouse:
    """A warehouse from which a person's rows were deleted."""
    if is_lake(warehouse):
        return erased(warehouse)
    path_of(warehouse).parent.mkdir()
    shutil.copy(erased_file, path_of(warehouse))
    return warehouse


@ON_A_LAKE_TOO
def test_deleted_rows_are_in_no_file_and_nothing_else_is_lost(after_a_deletion: Warehouse) -> None:
    warehouse = after_a_deletion
    folder = path_of(warehouse).parent
    held = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    as_text, _, _, _, in_parquet, in_duckdb = (form in held for form in forms(ERASED))
    assert as_text
    assert in_parquet if is_lake(warehouse) else in_duckdb
    assert path_of(warehouse).name in files_with(folder)
    if is_lake(warehouse):
        assert any(name.endswith(".parquet") for name in files_with(folder))
    before, names = everything(warehouse), names_in(folder)
    assert len(before["topo.activities"]) == ROWS - len(ERASED_ROWS)
    compact(warehouse)
    assert files_with(folder) == set()
    assert everything(warehouse) == before
    assert names_in(folder) == names


def test_a_compacted_warehouse_can_be_loaded_and_compacted_again(after_a_deletion: Warehouse) -> None:
    warehouse = after_a_deletion
    compact(warehouse)
    load = land_into(warehouse, reading(activity(1), activity(2)), now=LATER, may_shrink=True)
    assert (load.rows, load.changed, load.removed) == (2, 2, ROWS - len(ERASED_ROWS) - 2)
    before = everything(warehouse)
    compact(warehouse)
    assert everything(warehouse) == before


def test_the_copy_has_the_storage_version_of_a_new_file(file_warehouse: Warehouse) -> None:
    compact(file_warehouse)
    assert storage_of(path_of(file_warehouse)) == "v1.4.0+"


def test_an_empty_warehouse_can_be_compacted(warehouse: Warehouse) -> None:
    warehouse.prepare()
    before = everything(warehouse)
    compact(warehouse)
    assert everything(warehouse) == before


def test_compaction_waits_for_a_writer_and_keeps_its_rows(warehouse: Warehouse, on_waiting: SetHook) -> None:
    warehouse.prepare()
    with worker(warehouse, "hold", DAY) as holder:
        holder.expect("inside")
        on_waiting(holder.resume)
        compact(Warehouse(warehouse.target, wait_seconds=PATIENCE))
        holder.expect("landed")
    assert payloads(warehouse).keys() == {uuid_of(WORKERS_ROW)}


def test_a_timeout_reports_that_the_bytes_remain(file_warehouse: Warehouse, on_waiting: SetHook) -> None:
    on_waiting(lambda: None)
    with worker(file_warehouse, "hold", DAY) as holder:
        holder.expect("inside")
        with pytest.raises(
            NotCompacted, match="rows are deleted, but their bytes.*run the same command again"
        ) as error:
            compact(Warehouse(file_warehouse.target, wait_seconds=0.01))
        holder.resume()
        holder.expect("landed")
    assert str(path_of(file_warehouse)) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("when", ["dies-before", "dies-after"])
def test_a_kill_around_the_rename_leaves_a_whole_warehouse_that_can_be_compacted(
    after_a_deletion: Warehouse, when: str
) -> None:
    warehouse = after_a_deletion
    before = everything(warehouse)
    names, old = names_in(path_of(warehouse).parent), inode(path_of(warehouse))
    assert compactor(warehouse, when).wait() == -signal.SIGKILL
    assert (inode(path_of(warehouse)) == old) is (when == "dies-before")
    left = leftover_folders(path_of(warehouse))
    assert {path.name for path in left} == names_in(path_of(warehouse).parent) - names
    assert any("compacting" in path.name for path in left)
    assert {path.stat().st_mode & 0o077 for path in left} == {0}
    assert everything(warehouse) == before
    compact(warehouse)
    assert everything(warehouse) == before
    assert files_with(path_of(warehouse).parent) == set()
    assert names_in(path_of(warehouse).parent) == names


@pytest.mark.parametrize("limit", [4_096, 100_000])
def test_a_full_disk_leaves_the_old_warehouse_and_reports_that_the_bytes_remain(
    after_a_deletion: Warehouse, limit: int
) -> None:
    warehouse = after_a_deletion
    before = everything(warehouse)
    names = {path for path in path_of(warehouse).parent.rglob("*") if path.is_file()}
    old = inode(path_of(warehouse))
    child = compactor(warehouse, str(limit))
    [message] = child.receive_all()
    assert child.wait() == 0
    assert message.startswith("The rows are deleted, but their bytes may still be stored")
    assert "\n" not in message
    assert inode(path_of(warehouse)) == old
    if not is_lake(warehouse):  # a lake's rewritten files may remain, and the next compaction uses or removes them
        assert {path for path in path_of(warehouse).parent.rglob("*") if path.is_file()} == names
    assert everything(warehouse) == before
    compact(warehouse)
    assert files_with(path_of(warehouse).parent) == set()


def test_the_file_is_not_replaced_between_a_writers_open_and_its_lock(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the file were replaced before the writer locks it, the writer's commit would be lost."""
    land_into(warehouse, reading(activity(1)))
    old, children, messages = inode(path_of(warehouse)), [], []

    @contextmanager
    def slowly_opened(file: Path) -> Iterator[None]:
        with being_opened(file):
            if not children:
                children.append(compactor(warehouse, "watched"))
                messages.append(children[0].receive())
                assert inode(file) == old
            yield

    monkeypatch.setattr(local, "being_opened", slowly_opened)
    land_into(Warehouse(warehouse.target, wait_seconds=PATIENCE), reading(activity(1), activity(2)))
    [child] = children
    assert [*messages, *child.receive_all()] == ["waiting", "compacted"]
    assert child.wait() == 0
    assert inode(path_of(warehouse)) != old
    assert payloads(warehouse).keys() == {uuid_of(1), uuid_of(2)}


def test_the_locked_folder_is_that_of_the_links_target(file_warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "link.duckdb"
    link.symlink_to(path_of(file_warehouse))
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with being_opened(link), pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(folder)


def test_without_folder_locks_the_warehouse_works_but_is_not_compacted(
    file_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(_: int, __: int) -> None:
        raise OSError(errno.ENOTSUP, "no locks here")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    land_into(file_warehouse, reading(activity(1)))
    before = snapshot(file_warehouse)
    with pytest.raises(NotCompacted, match="no locks here"):
        compact(file_warehouse)
    assert snapshot(file_warehouse) == before


def test_compaction_through_a_link_keeps_the_link_and_the_files_mode(
    file_warehouse: Warehouse, erased_file: Path, tmp_path: Path
) -> None:
    shutil.copy(erased_file, path_of(file_warehouse))
    path_of(file_warehouse).chmod(0o640)
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "by another name.duckdb"
    link.symlink_to(path_of(file_warehouse))
    names, old = names_in(tmp_path), inode(path_of(file_warehouse))
    compact(Warehouse(str(link)))
    assert link.readlink() == path_of(file_warehouse)
    assert inode(path_of(file_warehouse)) != old
    assert path_of(file_warehouse).stat().st_mode & 0o777 == 0o640
    assert (names_in(tmp_path), names_in(link.parent)) == (names, {link.name})
    assert files_with(tmp_path) == set()


@pytest.mark.parametrize("kind", [".wal", ".wal.checkpoint"])
def test_a_log_that_duckdb_does_not_find_stops_the_compaction_and_is_kept(
    file_warehouse: Warehouse, tmp_path: Path, kind: str
) -> None:
    link, log = tmp_path / "link.duckdb", Path(f"{path_of(file_warehouse)}.wal")
    link.symlink_to(path_of(file_warehouse))
    leave_in_the_log(str(path_of(file_warehouse)), IN_THE_LOG)
    elsewhere = log.rename(f"{link}{kind}")
    with pytest.raises(NotCompacted, match=f"has not applied the log {elsewhere}"):
        compact(Warehouse(str(link)))
    elsewhere.rename(log)
    assert (-1, "in the log") in ask(file_warehouse, "FROM topo.migrations")


def test_the_log_left_by_a_crash_is_included_in_the_copy(file_warehouse: Warehouse, tmp_path: Path) -> None:
    leave_in_the_log(str(path_of(file_warehouse)), IN_THE_LOG)
    assert f"{path_of(file_warehouse).name}.wal" in names_in(tmp_path)
    compact(file_warehouse)
    assert names_in(tmp_path) == {path_of(file_warehouse).name}
    assert (-1, "in the log") in ask(file_warehouse, "FROM topo.migrations")


def test_a_copied_catalog_does_not_delete_the_files_of_the_original_lake(tmp_path: Path) -> None:
    lake = Warehouse(f"ducklake:{tmp_path / 'one' / 'topo.duckdb'}")
    land_into(lake, reading(activity(1), activity(2)))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    before = everything(lake)
    copied = Warehouse(f"ducklake:{tmp_path / 'two' / 'topo.duckdb'}")
    for function in (require_compactable, compact):
        with pytest.raises(WarehouseError, match="one/topo.duckdb.files.*Only a lake with its data in .*two"):
            function(copied)
    assert everything(lake) == before


@pytest.mark.parametrize(
    "setting",
    [
        "CALL ducklake_set_option('warehouse', 'parquet_compression', 'zstd')",
        pytest.param("ALTER TABLE topo.activities SET PARTITIONED BY (day)", marks=pytest.mark.full),
        pytest.param("ALTER TABLE topo.activities SET SORTED BY (day)", marks=pytest.mark.full),
    ],
)
def test_a_lake_keeps_its_own_settings(tmp_path: Path, setting: str) -> None:
    lake = Warehouse(f"ducklake:{tmp_path / 'topo.duckdb'}")
    land_into(lake, reading(activity(1), activity(2)))
    with lake.exclusive() as connection:
        connection.execute(setting)
    before = settings_of(lake)
    compact(lake)
    assert settings_of(lake) == before
    assert payloads(lake).keys() == {uuid_of(1), uuid_of(2)}


def settings_of(lake: Warehouse) -> list[list[tuple[Any, ...]]]:
    tables = ("ducklake_metadata", "ducklake_partition_column", "ducklake_sort_expression")
    return [ask(lake, f"FROM __ducklake_metadata_warehouse.{table}") for table in tables]  # noqa: S608
