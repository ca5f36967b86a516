"""A backup is the warehouse at one moment; a restore brings it back without people erased since."""

import gzip
import os
import shutil
import signal
import stat
import uuid
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.maintenance import backups
from topo_pipeline.maintenance.backups import backup, look, restore
from topo_pipeline.maintenance.copies import About, Restored
from topo_pipeline.warehouse.catalogue import tables_of
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.erasure import Trace, erase
from topo_pipeline.warehouse.errors import WarehouseError, WarehouseInUse
from topo_pipeline.warehouse.files import leftover_folders
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.engagement.helpers import (
    KEPT_BESIDE,
    TABLES,
    Workspace,
    canonical,
    drop_all_but,
    made_of,
    march,
    sent,
    uid,
)
from topo_pipeline_tests.limits import files_no_larger_than, umask
from topo_pipeline_tests.maintenance.test_forget import (
    BOB,
    ERASED_AT,
    HERS,
    HIS,
    bytes_in,
    forget_ada,
    forget_from,
)
from topo_pipeline_tests.warehouse import conftest as warehouse_conftest
from topo_pipeline_tests.warehouse import old as old_ones
from topo_pipeline_tests.warehouse.builders import path_of
from topo_pipeline_tests.warehouse.compactor import be_killed_at_the_rename
from topo_pipeline_tests.warehouse.processes import Child
from topo_pipeline_tests.warehouse.worker import leave_in_the_log, worker

NOW = datetime(2026, 6, 3, tzinfo=UTC)
WORKERS_DAY = date(2026, 3, 20)
SetHook, on_waiting = warehouse_conftest.SetHook, warehouse_conftest.on_waiting
EVERYTHING = (
    *("topo.activities", "topo.activity_changes", "topo.rejects", "topo.loads", "topo.sequence_templates"),
    *("topo.workspace", "topo.forgotten", "topo.migrations", "engagement.builds"),
    *(f"engagement.{name}" for name in (*TABLES, *KEPT_BESIDE)),
)


@pytest.fixture(scope="module")
def few_tables(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse of Ada and Bob with a few metric tables, which are quicker to compare than all."""
    file = shutil.copy(built, tmp_path_factory.mktemp("few"))
    drop_all_but(Warehouse(str(file)), "sequence_daily")
    return Path(file)


@pytest.fixture
def workspace(few_tables: Path, tmp_path: Path) -> Workspace:
    """A workspace of Ada and Bob with a few metric tables."""
    (tmp_path / "data").mkdir()
    return Workspace(str(shutil.copy(few_tables, tmp_path / "data" / "topo.duckdb")))


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = Workspace(str(tmp_path_factory.mktemp("landed") / "topo.duckdb"))
    workspace.land_all([*HERS, *HIS])
    return path_of(workspace.warehouse)


@pytest.fixture
def workspace_without_tables(landed: Path, tmp_path: Path) -> Workspace:
    """A workspace of Ada and Bob without tables, from which erasing is faster."""
    (tmp_path / "data").mkdir()
    return Workspace(str(shutil.copy(landed, tmp_path / "data" / "topo.duckdb")))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "it's a \U0001f4be.duckdb"


def restored(workspace: Workspace, file: Path) -> Restored:
    return restore(workspace.warehouse, file, timezone="UTC", rules=DEFAULT_RULES, now=NOW)


def everything(target: str | Path) -> dict[str, Any]:
    """Return every row and every comment."""
    with Warehouse(str(target)).reader() as connection:
        found: dict[str, Any] = {
            name: sorted(map(repr, connection.execute(f"FROM {name}").fetchall()))
            for name in map(".".join, tables_of(connection))
        }
        found["comments"] = connection.execute(
            "SELECT table_name, column_name, comment FROM duckdb_columns()"
            " WHERE database_name = current_database() AND NOT internal ORDER BY ALL"
        ).fetchall()
    return found


def files_next_to(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in path_of(workspace.warehouse).parent.iterdir())


def test_a_backup_contains_every_table_row_and_comment(built: Path, tmp_path: Path, file: Path) -> None:
    workspace = Workspace(str(shutil.copy(built, tmp_path)))
    with workspace.warehouse.transaction() as connection:
        erase(connection, uuid.UUID(uid("Ada")), now=ERASED_AT)  # without building all tables again
    about = backup(workspace.warehouse, file)
    assert about.last_day == date(2026, 3, 5)
    assert everything(file) == everything(workspace.target)
    assert everything(file).keys() >= {*EVERYTHING, "comments"}
    assert all(comment for *_, comment in everything(file)["comments"])


def test_a_restore_brings_back_what_was_backed_up_keeps_the_replaced_warehouse_and_days_can_be_landed(
    workspace: Workspace, file: Path
) -> None:
    before = everything(workspace.target)
    backup(workspace.warehouse, file)
    workspace.land(date(2026, 3, 3), [])
    newer = everything(workspace.target)
    assert newer != before
    replaced = f"{workspace.target}.replaced-20260603T000000Z"
    outcome = restored(workspace, file)
    assert outcome == Restored(About(None, date(2026, 3, 5)), replaced, Trace(0, 0, 0, 0), erasures_unknown=False)
    assert everything(workspace.target) == everything(file) == before
    assert everything(replaced) == newer
    assert files_next_to(workspace) == ["topo.duckdb", Path(replaced).name]
    workspace.land(march(6).date(), [sent(march(6), **BOB)])
    workspace.build()
    sends = len([a for a in (*HERS, *HIS) if a.type == "message.sent" and a.sequence == "outbound"])
    assert sum(row["total_sent"] for row in workspace.daily().values()) == sends + 1


def test_a_backup_waits_for_a_writer_and_includes_its_rows(
    workspace: Workspace, file: Path, on_waiting: SetHook
) -> None:
    with worker(workspace.warehouse, "hold", WORKERS_DAY) as writer:
        writer.expect("inside")
        on_waiting(writer.resume)
        backup(Warehouse(workspace.target, wait_seconds=PATIENCE), file)
    assert look(file).last_day == WORKERS_DAY


def test_a_writer_waits_for_a_backup_and_loses_nothing(
    workspace: Workspace, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(workspace.target)
    copy = backups._copy
    with ExitStack() as until_it_ends:

        def copy_while_somebody_waits(*names: Path) -> None:
            until_it_ends.enter_context(worker(workspace.warehouse, "land", WORKERS_DAY)).expect("waiting")
            copy(*names)

        monkeypatch.setattr(backups, "_copy", copy_while_somebody_waits)
        backup(workspace.warehouse, file)
    assert everything(file) == before
    assert workspace.select("SELECT count(*) FROM topo.activities WHERE day = '2026-03-20'") == [(1,)]


def test_a_backup_includes_rows_that_are_only_in_the_log(workspace: Workspace, file: Path) -> None:
    leave_in_the_log(
        workspace.target, "INSERT INTO topo.topo.rejects VALUES ('2026-03-01', 'in the log', 'x', now(), uuid())"
    )
    assert "topo.duckdb.wal" in files_next_to(workspace)
    backup(workspace.warehouse, file)
    assert Workspace(str(file)).select("SELECT raw FROM topo.rejects") == [("in the log",)]
    assert not Path(f"{file}.wal").exists()


def test_people_erased_since_the_backup_stay_erased(workspace: Workspace, file: Path, tmp_path: Path) -> None:
    with workspace.warehouse.transaction() as connection:
        connection.execute(
            "INSERT INTO topo.rejects VALUES ('2026-03-01', ?, 'cut', now(), uuid())", [f'{{"person":"{uid("Ada")}"']
        )
    backup(workspace.warehouse, file)
    forget_ada(workspace)
    after_erasure = {name: canonical(workspace.rows(name)) for name in made_of("sequence_daily")}
    assert restored(workspace, file).erased == Trace(activities=len(HERS), changes=0, rejects=1, runs=2)
    restored_rows = Workspace(workspace.target)
    assert {name: canonical(restored_rows.rows(name)) for name in after_erasure} == after_erasure
    assert workspace.select("SELECT sum(suppressed), sum(rows) FROM landed_days") == [(len(HERS), len(HIS))]
    file.unlink()
    assert bytes_in(tmp_path, uid("Ada")) == set()
    workspace.land_all([*HERS, *HIS])
    assert workspace.select("SELECT count(*) FROM topo.activities") == [(len(HIS),)]


def test_people_erased_before_and_since_the_backup_stay_erased(workspace_without_tables: Workspace, file: Path) -> None:
    workspace = workspace_without_tables
    forget_ada(workspace)
    backup(workspace.warehouse, file)
    forget_from(workspace.warehouse, uuid.UUID(uid("Bob")), now=ERASED_AT)
    assert restored(workspace, file).erased.activities == len([a for a in HIS if a.run == "B"])
    workspace.land_all([*HERS, *HIS])
    assert workspace.select("SELECT count(*) FROM topo.activities") == [(len([a for a in HIS if a.run == "D"]),)]


def test_a_backup_with_another_erasure_key_is_refused(workspace_without_tables: Workspace, file: Path) -> None:
    forget_ada(workspace_without_tables)
    backup(workspace_without_tables.warehouse, file)
    other = Workspace(str(file.parent / "again" / "topo.duckdb"))  # Bob is erased there
    other.land_all(HIS)
    forget_from(other.warehouse, uuid.UUID(uid("Bob")), now=ERASED_AT)
    assert_refused(other, file, "different keys")


@pytest.mark.parametrize("damage", [b"", b"not a database", None])
def test_a_damaged_warehouse_is_replaced_and_its_erasures_are_unknown(
    workspace: Workspace, file: Path, damage: bytes | None
) -> None:
    before = everything(workspace.target)
    backup(workspace.warehouse, file)
    whole = path_of(workspace.warehouse).read_bytes()
    path_of(workspace.warehouse).write_bytes(whole[:16_384] if damage is None else damage)
    Path(f"{workspace.target}.wal").write_bytes(b"of the damaged one")
    outcome = restored(workspace, file)
    assert outcome.erasures_unknown
    assert everything(workspace.target) == before
    assert not Path(f"{workspace.target}.wal").exists()
    assert files_next_to(workspace) == [
        "topo.duckdb",
        *(f"topo.duckdb.replaced-20260603T000000Z{end}" for end in ("", ".wal")),
    ]


def test_a_restore_without_a_warehouse_creates_it(workspace: Workspace, file: Path, tmp_path: Path) -> None:
    backup(workspace.warehouse, file)
    new = Workspace(str(tmp_path / "another" / "machine" / "topo.duckdb"))
    outcome = restored(new, file)
    assert (outcome.replaced, outcome.erasures_unknown) == (None, True)
    assert everything(new.target) == everything(workspace.target)


def assert_refused(workspace: Workspace, file: Path, *words: str) -> None:
    """Check that a restore fails with a one-line error and changes nothing."""
    before = path_of(workspace.warehouse).read_bytes()
    with pytest.raises(WarehouseError) as error:
        restored(workspace, file)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)
    assert path_of(workspace.warehouse).read_bytes() == before
    assert files_next_to(workspace) == ["topo.duckdb"]


def test_a_file_that_is_not_a_backup_is_refused(workspace: Workspace, file: Path) -> None:
    assert_refused(workspace, file, "There is no backup")
    file.write_text("Dear diary")
    assert_refused(workspace, file, "can't be restored", "it is not a DuckDB file")
    file.unlink()
    duckdb.connect(file).close()
    assert_refused(workspace, file, "contains no topo-pipeline tables")
    assert_refused(workspace, path_of(workspace.warehouse), "is the warehouse itself")
    assert_refused(workspace, file.parent, "There is no backup")


def changed(file: Path, sql: str) -> Path:
    with Warehouse(str(file)).transaction() as connection:
        connection.execute(sql)
    return file


def test_a_backup_of_another_organization_zone_or_version_is_refused(workspace: Workspace, file: Path) -> None:
    backup(workspace.warehouse, file)
    ours, theirs = (f"UPDATE topo.workspace SET organization_id = '{uuid.uuid4()}'" for _ in range(2))  # noqa: S608
    changed(path_of(workspace.warehouse), ours)
    assert_refused(workspace, changed(file, theirs), "backup of organization")
    changed(file, "UPDATE topo.workspace SET organization_id = NULL, timezone = 'Asia/Tokyo'")
    assert_refused(workspace, file, "Asia/Tokyo")
    changed(file, "INSERT INTO topo.migrations VALUES (99, 'of the future')")
    assert_refused(workspace, file, "schema version 99", "upgrade")


def test_a_backup_of_an_older_version_is_migrated(workspace: Workspace, file: Path) -> None:
    file.write_bytes(gzip.decompress((Path(old_ones.__file__).parent / "0001.duckdb.gz").read_bytes()))
    old = look(file)
    assert restored(workspace, file).about == old
    with workspace.warehouse.reader() as connection:
        assert connection.execute("SELECT max(day) FROM topo.loads").fetchone() == (old.last_day,)


def test_a_warehouse_in_use_is_not_replaced(workspace: Workspace, file: Path) -> None:
    backup(workspace.warehouse, file)
    with worker(workspace.warehouse, "hold", WORKERS_DAY) as writer:
        writer.expect("inside")
        with pytest.raises(WarehouseInUse, match=r"is in use by .*process"):
            restore(Warehouse(workspace.target, wait_seconds=0.1), file, timezone="UTC", rules=DEFAULT_RULES, now=NOW)
        writer.resume()
    assert workspace.select("SELECT count(*) FROM topo.loads WHERE day = '2026-03-20'") == [(1,)]


def test_a_backup_never_overwrites_a_file(workspace: Workspace, file: Path) -> None:
    file.write_text("precious")
    for there in (file, path_of(workspace.warehouse), file.parent):
        with pytest.raises(WarehouseError, match="already exists"):
            backup(workspace.warehouse, there)
    assert file.read_text() == "precious"


def test_a_full_disk_is_a_one_line_error_and_changes_nothing(workspace: Workspace, file: Path) -> None:
    before = everything(workspace.target)
    with files_no_larger_than(100_000), pytest.raises(WarehouseError, match="can't be written") as error:
        backup(workspace.warehouse, file)
    assert "\n" not in str(error.value)
    assert list(file.parent.iterdir()) == [path_of(workspace.warehouse).parent]
    backup(workspace.warehouse, file)
    with files_no_larger_than(100_000):
        assert_refused(workspace, file, "can't be restored")
    assert everything(workspace.target) == before


def test_a_missing_folder_is_an_error(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="does not exist. Run: mkdir -p "):
        backup(workspace.warehouse, tmp_path / "nowhere" / "backup.duckdb")


def damage_block(file: Path) -> Path:
    """Damage a block that contains only payloads, as a bad disk does."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{str(file).replace(chr(39), chr(39) * 2)}' AS it (READ_ONLY)")
        [(block,)] = connection.execute(
            "SELECT max(block_id) FROM pragma_storage_info('it.topo.activities') WHERE column_name = 'payload'"
        ).fetchall()
    with file.open("r+b") as opened:
        opened.seek(3 * 4096 + block * 262_144 + 64)
        opened.write(b"rotten")
    return file


def test_a_warehouse_with_a_damaged_block_is_not_backed_up(workspace: Workspace, file: Path) -> None:
    damage_block(path_of(workspace.warehouse))
    with pytest.raises(WarehouseError, match=r"topo\.activities can't be read .*checksum") as error:
        backup(workspace.warehouse, file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)
    assert list(file.parent.iterdir()) == [path_of(workspace.warehouse).parent]
    assert files_next_to(workspace) == ["topo.duckdb"]


def test_a_backup_with_a_damaged_block_is_not_restored(workspace: Workspace, file: Path) -> None:
    backup(workspace.warehouse, file)
    assert_refused(workspace, damage_block(file), "can't be restored", "topo.activities can't be read")


def test_a_backup_is_private_with_any_umask_and_warehouse_mode(workspace: Workspace, file: Path) -> None:
    path_of(workspace.warehouse).chmod(0o644)
    with umask(0):
        backup(workspace.warehouse, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    new = Workspace(str(file.parent / "new" / "topo.duckdb"))
    with umask(0):
        restored(new, file)
        restored(workspace, file)
    assert stat.S_IMODE(path_of(new.warehouse).stat().st_mode) == 0o600
    assert stat.S_IMODE(path_of(workspace.warehouse).stat().st_mode) == 0o644  # unchanged


def test_a_backup_deletes_no_files_of_others(workspace: Workspace, file: Path) -> None:
    for name in ("partial", "copying"):
        folder = file.with_name(f"{file.name}.{name}")
        folder.mkdir()
        (folder / "precious").write_text("precious")
    before = sorted(file.parent.rglob("precious"))
    backup(workspace.warehouse, file)
    assert sorted(file.parent.rglob("precious")) == before


def test_a_file_that_appears_during_the_copy_is_not_replaced(
    workspace: Workspace, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = backups._copy

    def copy_and_create_it(*names: Path) -> None:
        copy(*names)
        file.write_text("precious")

    monkeypatch.setattr(backups, "_copy", copy_and_create_it)
    with pytest.raises(WarehouseError, match="can't be written: File exists"):
        backup(workspace.warehouse, file)
    assert file.read_text() == "precious"
    assert leftover_folders(file) == []


def test_a_restore_refused_at_the_last_moment_changes_nothing(workspace: Workspace, file: Path) -> None:
    class Forbidden(Exception):
        pass

    seen = []

    def forbid() -> None:
        with pytest.raises(WarehouseInUse), Warehouse(workspace.target, wait_seconds=0.01).reader():
            pass
        seen.append(len(list(path_of(workspace.warehouse).parent.glob(".topo.duckdb.restoring-*/files/*.duckdb"))))
        raise Forbidden

    backup(workspace.warehouse, file)
    before = path_of(workspace.warehouse).read_bytes()
    with pytest.raises(Forbidden):
        restore(workspace.warehouse, file, timezone="UTC", rules=DEFAULT_RULES, now=NOW, require_quiet=forbid)
    assert seen == [1]
    assert path_of(workspace.warehouse).read_bytes() == before
    assert files_next_to(workspace) == ["topo.duckdb"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_restore_that_fails_at_the_rename_changes_no_file(
    workspace: Workspace, file: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no locks here")

    backup(workspace.warehouse, file)
    if is_there:
        path_of(workspace.warehouse).write_bytes(b"damaged")
    else:
        path_of(workspace.warehouse).unlink()
    Path(f"{workspace.target}.wal").write_bytes(b"of the damaged one")
    before = {path.name: path.read_bytes() for path in path_of(workspace.warehouse).parent.iterdir()}
    monkeypatch.setattr(backups, "put_in_place", fail)
    monkeypatch.setattr(backups, "put_new", fail)
    with pytest.raises(WarehouseError, match="no locks here"):
        restored(workspace, file)
    assert {path.name: path.read_bytes() for path in path_of(workspace.warehouse).parent.iterdir()} == before


def test_a_backup_without_a_warehouse_is_an_error_and_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="no warehouse"):
        backup(Warehouse(str(tmp_path / "none.duckdb")), tmp_path / "backup.duckdb")
    assert list(tmp_path.iterdir()) == []


def test_a_local_lake_cannot_be_backed_up_or_restored(tmp_path: Path) -> None:
    lake = Warehouse(f"ducklake:{tmp_path / 'lake.ducklake'}")
    with pytest.raises(WarehouseError, match="is a local lake, .*: cp -a .*lake.ducklake .*lake.ducklake.files FOLDER"):
        backup(lake, tmp_path / "b.duckdb")
    with pytest.raises(WarehouseError, match="is a local lake"):
        restore(lake, tmp_path / "b.duckdb", timezone="UTC", rules=DEFAULT_RULES, now=NOW)


def restore_and_be_killed(when: str, target: str, file: Path, _: Any) -> None:
    be_killed_at_the_rename(when)
    restore(Warehouse(target), file, timezone="UTC", rules=DEFAULT_RULES, now=NOW)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_restore_leaves_a_whole_warehouse_and_the_next_cleans_up(
    workspace: Workspace, file: Path, when: str
) -> None:
    backed_up = everything(workspace.target)
    backup(workspace.warehouse, file)
    workspace.land(date(2026, 3, 3), [])
    there = everything(workspace.target)
    assert Child(restore_and_be_killed, when, workspace.target, file).wait() == -signal.SIGKILL
    assert everything(workspace.target) == (there if when == "before" else backed_up)
    restore(workspace.warehouse, file, timezone="UTC", rules=DEFAULT_RULES, now=datetime(2026, 6, 4, tzinfo=UTC))
    assert everything(workspace.target) == backed_up
    assert leftover_folders(path_of(workspace.warehouse)) == []
    assert not [name for name in files_next_to(workspace) if name.startswith(".")]
    assert os.path.lexists(file)
