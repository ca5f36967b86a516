"""A backup is the warehouse of one moment, and a restore is that moment again, but for who was forgotten since."""

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
from topo_pipeline.maintenance.backups import About, Restored, backup, look, restore
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.erasure import Trace
from topo_pipeline.warehouse.errors import WarehouseError, WarehouseInUse
from topo_pipeline.warehouse.files import leftover_folders
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.engagement.helpers import KEPT_BESIDE, TABLES, Workspace, canonical, march, sent, uid
from topo_pipeline_tests.limits import files_no_larger_than, umask
from topo_pipeline_tests.maintenance.test_forget import (
    BOB,
    FORGOTTEN_AT,
    HERS,
    HIS,
    bytes_in,
    forget_ada,
    forget_from,
    workspace_of,
)
from topo_pipeline_tests.warehouse import conftest as of_the_warehouse
from topo_pipeline_tests.warehouse import old as old_ones
from topo_pipeline_tests.warehouse.compactor import be_killed_at_the_rename
from topo_pipeline_tests.warehouse.processes import Child
from topo_pipeline_tests.warehouse.worker import leave_in_the_log, worker

NOW = datetime(2026, 6, 3, tzinfo=UTC)
WORKERS_DAY = date(2026, 3, 20)
SetHook, on_waiting = of_the_warehouse.SetHook, of_the_warehouse.on_waiting
EVERYTHING = (
    *("topo.activities", "topo.activity_changes", "topo.rejects", "topo.loads", "topo.sequence_templates"),
    *("topo.workspace", "topo.forgotten", "topo.migrations", "engagement.builds"),
    *(f"engagement.{name}" for name in (*TABLES, *KEPT_BESIDE)),
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workspace_of(tmp_path_factory.mktemp("built"), [*HERS, *HIS]).warehouse.path


@pytest.fixture
def world(built: Path, tmp_path: Path) -> Workspace:
    """Ada and Bob, every table built."""
    (tmp_path / "data").mkdir()
    return Workspace(str(shutil.copy(built, tmp_path / "data" / "topo.duckdb")))


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = Workspace(str(tmp_path_factory.mktemp("landed") / "topo.duckdb"))
    workspace.land_all([*HERS, *HIS])
    return workspace.warehouse.path


@pytest.fixture
def world_without_tables(landed: Path, tmp_path: Path) -> Workspace:
    """Ada and Bob, no table built: to forget somebody there takes less time."""
    (tmp_path / "data").mkdir()
    return Workspace(str(shutil.copy(landed, tmp_path / "data" / "topo.duckdb")))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "it's a \U0001f4be.duckdb"


def restored(world: Workspace, file: Path) -> Restored:
    return restore(world.warehouse, file, timezone="UTC", rules=DEFAULT_RULES, now=NOW)


def everything(target: str | Path) -> dict[str, Any]:
    """Every row and every comment."""
    with Warehouse(str(target)).reader() as connection:
        found: dict[str, Any] = {
            name: sorted(map(repr, connection.execute(f"FROM {name}").fetchall())) for name in EVERYTHING
        }
        found["comments"] = connection.execute(
            "SELECT table_name, column_name, comment FROM duckdb_columns()"
            " WHERE database_name = current_database() AND NOT internal ORDER BY ALL"
        ).fetchall()
    return found


def beside(world: Workspace) -> list[str]:
    return sorted(path.name for path in world.warehouse.path.parent.iterdir())


def test_a_backup_holds_every_table_row_and_comment(world: Workspace, file: Path) -> None:
    forget_ada(world)
    about = backup(world.warehouse, file)
    assert about.last_day == date(2026, 3, 5)
    assert everything(file) == everything(world.target)
    assert all(comment for *_, comment in everything(file)["comments"])


def test_what_was_restored_is_what_was_backed_up(world: Workspace, file: Path) -> None:
    before = everything(world.target)
    backup(world.warehouse, file)
    world.land(date(2026, 3, 3), [])
    assert everything(world.target) != before
    outcome = restored(world, file)
    assert everything(world.target) == before
    assert outcome == Restored(
        About(None, date(2026, 3, 5)),
        world.warehouse.path.with_name("topo.duckdb.replaced-20260603T000000Z"),
        Trace(0, 0, 0, 0),
        erasures_unknown=False,
    )
    assert everything(file) == before


def test_what_was_there_is_kept_beside(world: Workspace, file: Path) -> None:
    backup(world.warehouse, file)
    world.land(date(2026, 3, 3), [])
    replaced = everything(world.target)
    kept = restored(world, file).replaced
    assert kept is not None
    assert everything(kept) == replaced
    assert beside(world) == ["topo.duckdb", kept.name]


def test_a_restored_warehouse_takes_in_days_as_ever(world: Workspace, file: Path) -> None:
    backup(world.warehouse, file)
    restored(world, file)
    world.land(march(6).date(), [sent(march(6), **BOB)])
    world.build()
    before = len([a for a in (*HERS, *HIS) if a.type == "message.sent" and a.sequence == "outbound"])
    assert world.summary()["total_sent"] == before + 1


def test_a_backup_waits_for_a_writer_and_has_what_it_wrote(world: Workspace, file: Path, on_waiting: SetHook) -> None:
    with worker(world.warehouse, "hold", WORKERS_DAY) as writer:
        writer.expect("inside")
        on_waiting(writer.resume)
        backup(Warehouse(world.target, wait_seconds=PATIENCE), file)
    assert look(file).last_day == WORKERS_DAY


def test_a_writer_waits_for_a_backup_and_loses_nothing(
    world: Workspace, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(world.target)
    copy = backups._copy
    with ExitStack() as until_it_ends:

        def copy_while_somebody_waits(*names: Path) -> None:
            until_it_ends.enter_context(worker(world.warehouse, "land", WORKERS_DAY)).expect("waiting")
            copy(*names)

        monkeypatch.setattr(backups, "_copy", copy_while_somebody_waits)
        backup(world.warehouse, file)
    assert everything(file) == before
    assert world.select("SELECT count(*) FROM topo.activities WHERE day = '2026-03-20'") == [(1,)]


def test_a_backup_takes_in_what_only_the_log_holds(world: Workspace, file: Path) -> None:
    leave_in_the_log(
        world.target, "INSERT INTO topo.topo.rejects VALUES ('2026-03-01', 'in the log', 'x', now(), uuid())"
    )
    assert "topo.duckdb.wal" in beside(world)
    backup(world.warehouse, file)
    assert Workspace(str(file)).select("SELECT raw FROM topo.rejects") == [("in the log",)]
    assert not Path(f"{file}.wal").exists()


def test_who_was_forgotten_since_the_backup_does_not_come_back(world: Workspace, file: Path, tmp_path: Path) -> None:
    with world.warehouse.transaction() as connection:
        connection.execute(
            "INSERT INTO topo.rejects VALUES ('2026-03-01', ?, 'cut', now(), uuid())", [f'{{"person":"{uid("Ada")}"']
        )
    backup(world.warehouse, file)
    forget_ada(world)
    forgotten = {name: canonical(rows) for name, rows in world.all_rows().items()}
    assert restored(world, file).erased == Trace(activities=len(HERS), changes=0, rejects=1, runs=2)
    assert {name: canonical(rows) for name, rows in world.all_rows().items()} == forgotten
    assert world.select("SELECT sum(suppressed), sum(rows) FROM landed_days") == [(len(HERS), len(HIS))]
    file.unlink()
    assert bytes_in(tmp_path, uid("Ada")) == set()
    world.land_all([*HERS, *HIS])
    assert world.select("SELECT count(*) FROM topo.activities") == [(len(HIS),)]


def test_who_was_forgotten_before_and_since_the_backup_stays_forgotten(
    world_without_tables: Workspace, file: Path
) -> None:
    world = world_without_tables
    forget_ada(world)
    backup(world.warehouse, file)
    forget_from(world.warehouse, uuid.UUID(uid("Bob")), now=FORGOTTEN_AT)
    assert restored(world, file).erased.activities == len([a for a in HIS if a.run == "B"])
    world.land_all([*HERS, *HIS])
    assert world.select("SELECT count(*) FROM topo.activities") == [(len([a for a in HIS if a.run == "D"]),)]


def test_people_forgotten_under_different_keys_are_not_confused(world_without_tables: Workspace, file: Path) -> None:
    forget_ada(world_without_tables)
    backup(world_without_tables.warehouse, file)
    other = Workspace(str(file.parent / "again" / "topo.duckdb"))  # Bob is forgotten there
    other.land_all(HIS)
    forget_from(other.warehouse, uuid.UUID(uid("Bob")), now=FORGOTTEN_AT)
    refused(other, file, "different keys")


@pytest.mark.parametrize("damage", [b"", b"not a database", None])
def test_a_damaged_warehouse_is_replaced_and_its_memory_is_said_to_be_lost(
    world: Workspace, file: Path, damage: bytes | None
) -> None:
    before = everything(world.target)
    backup(world.warehouse, file)
    whole = world.warehouse.path.read_bytes()
    world.warehouse.path.write_bytes(whole[:16_384] if damage is None else damage)  # DuckDB's headers and no more
    Path(f"{world.target}.wal").write_bytes(b"of the damaged one")
    outcome = restored(world, file)
    assert outcome.erasures_unknown
    assert everything(world.target) == before
    assert not Path(f"{world.target}.wal").exists()
    assert beside(world) == ["topo.duckdb", *(f"topo.duckdb.replaced-20260603T000000Z{end}" for end in ("", ".wal"))]


def test_where_there_is_no_warehouse_the_backup_becomes_it(world: Workspace, file: Path, tmp_path: Path) -> None:
    backup(world.warehouse, file)
    new = Workspace(str(tmp_path / "another" / "machine" / "topo.duckdb"))
    outcome = restored(new, file)
    assert (outcome.replaced, outcome.erasures_unknown) == (None, True)
    assert everything(new.target) == everything(world.target)


def refused(world: Workspace, file: Path, *words: str) -> None:
    """The restore ends in one sentence, and the warehouse is as it was."""
    before = world.warehouse.path.read_bytes()
    with pytest.raises(WarehouseError) as error:
        restored(world, file)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)
    assert world.warehouse.path.read_bytes() == before
    assert beside(world) == ["topo.duckdb"]


def test_what_is_no_backup_is_refused(world: Workspace, file: Path) -> None:
    refused(world, file, "There is no backup")
    file.write_text("Dear diary")
    refused(world, file, "can't be restored", "it is not a DuckDB file")
    file.unlink()
    duckdb.connect(file).close()
    refused(world, file, "contains no topo-pipeline tables")
    refused(world, world.warehouse.path, "is the warehouse itself")
    refused(world, file.parent, "There is no backup")


def changed(file: Path, sql: str) -> Path:
    with Warehouse(str(file)).transaction() as connection:
        connection.execute(sql)
    return file


def test_a_backup_of_another_organization_zone_or_version_is_refused(world: Workspace, file: Path) -> None:
    backup(world.warehouse, file)
    ours, theirs = (f"UPDATE topo.workspace SET organization_id = '{uuid.uuid4()}'" for _ in range(2))  # noqa: S608
    changed(world.warehouse.path, ours)
    refused(world, changed(file, theirs), "backup of organization")
    changed(file, "UPDATE topo.workspace SET organization_id = NULL, timezone = 'Asia/Tokyo'")
    refused(world, file, "Asia/Tokyo")
    changed(file, "INSERT INTO topo.migrations VALUES (99, 'of the future')")
    refused(world, file, "schema version 99", "upgrade")


def test_an_older_backup_is_brought_up_to_date(world: Workspace, file: Path) -> None:
    file.write_bytes(gzip.decompress((Path(old_ones.__file__).parent / "0001.duckdb.gz").read_bytes()))
    old = look(file)
    assert restored(world, file).about == old
    with world.warehouse.reader() as connection:
        assert connection.execute("SELECT max(day) FROM topo.loads").fetchone() == (old.last_day,)


def test_a_warehouse_that_somebody_writes_is_not_replaced(world: Workspace, file: Path) -> None:
    backup(world.warehouse, file)
    with worker(world.warehouse, "hold", WORKERS_DAY) as writer:
        writer.expect("inside")
        with pytest.raises(WarehouseInUse, match=r"is in use by .*process"):
            restore(Warehouse(world.target, wait_seconds=0.1), file, timezone="UTC", rules=DEFAULT_RULES, now=NOW)
        writer.resume()
    assert world.select("SELECT count(*) FROM topo.loads WHERE day = '2026-03-20'") == [(1,)]


def test_a_backup_is_never_written_over_a_file(world: Workspace, file: Path) -> None:
    file.write_text("precious")
    for there in (file, world.warehouse.path, file.parent):
        with pytest.raises(WarehouseError, match="already exists"):
            backup(world.warehouse, there)
    assert file.read_text() == "precious"


def test_without_room_there_is_one_sentence_and_nothing_half_done(world: Workspace, file: Path) -> None:
    before = everything(world.target)
    with files_no_larger_than(100_000), pytest.raises(WarehouseError, match="can't be written") as error:
        backup(world.warehouse, file)
    assert "\n" not in str(error.value)
    assert list(file.parent.iterdir()) == [world.warehouse.path.parent]
    backup(world.warehouse, file)
    with files_no_larger_than(100_000):
        refused(world, file, "can't be restored")
    assert everything(world.target) == before


def test_a_place_that_is_not_there_is_said_in_one_sentence(world: Workspace, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="can't be written: No such file or directory"):
        backup(world.warehouse, tmp_path / "nowhere" / "backup.duckdb")


def rot(file: Path) -> Path:
    """Spoil a block that holds payloads, and nothing else, as a bad disk does."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{str(file).replace(chr(39), chr(39) * 2)}' AS it (READ_ONLY)")
        [(block,)] = connection.execute(
            "SELECT max(block_id) FROM pragma_storage_info('it.topo.activities') WHERE column_name = 'payload'"
        ).fetchall()
    with file.open("r+b") as opened:
        opened.seek(3 * 4096 + block * 262_144 + 64)
        opened.write(b"rotten")
    return file


def test_a_warehouse_with_a_damaged_block_is_not_backed_up(world: Workspace, file: Path) -> None:
    rot(world.warehouse.path)
    with pytest.raises(WarehouseError, match=r"topo\.activities can't be read .*checksum") as error:
        backup(world.warehouse, file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)
    assert list(file.parent.iterdir()) == [world.warehouse.path.parent]
    assert beside(world) == ["topo.duckdb"]


def test_a_backup_with_a_damaged_block_is_not_restored(world: Workspace, file: Path) -> None:
    backup(world.warehouse, file)
    refused(world, rot(file), "can't be restored", "topo.activities can't be read")


def test_a_backup_is_private_whatever_the_umask_and_the_mode_of_the_warehouse(world: Workspace, file: Path) -> None:
    world.warehouse.path.chmod(0o644)
    with umask(0):
        backup(world.warehouse, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    new = Workspace(str(file.parent / "new" / "topo.duckdb"))
    with umask(0):
        restored(new, file)
        restored(world, file)
    assert stat.S_IMODE(new.warehouse.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(world.warehouse.path.stat().st_mode) == 0o644  # as somebody chose it


def test_a_backup_deletes_nothing_that_is_not_its_own(world: Workspace, file: Path) -> None:
    for name in ("partial", "copying"):
        folder = file.with_name(f"{file.name}.{name}")
        folder.mkdir()
        (folder / "precious").write_text("precious")
    before = sorted(file.parent.rglob("precious"))
    backup(world.warehouse, file)
    assert sorted(file.parent.rglob("precious")) == before


def test_a_file_that_appears_while_the_warehouse_is_copied_is_not_replaced(
    world: Workspace, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = backups._copy

    def copy_while_it_appears(*names: Path) -> None:
        copy(*names)
        file.write_text("precious")

    monkeypatch.setattr(backups, "_copy", copy_while_it_appears)
    with pytest.raises(WarehouseError, match="can't be written: File exists"):
        backup(world.warehouse, file)
    assert file.read_text() == "precious"
    assert leftover_folders(file) == []


def test_what_forbids_a_restore_at_the_last_moment_leaves_everything(world: Workspace, file: Path) -> None:
    class Forbidden(Exception):
        pass

    seen = []

    def forbid() -> None:
        with pytest.raises(WarehouseInUse), Warehouse(world.target, wait_seconds=0.01).reader():
            pass
        seen.append(len(list(world.warehouse.path.parent.glob(".topo.duckdb.restoring-*/files/*.duckdb"))))
        raise Forbidden

    backup(world.warehouse, file)
    before = world.warehouse.path.read_bytes()
    with pytest.raises(Forbidden):
        restore(world.warehouse, file, timezone="UTC", rules=DEFAULT_RULES, now=NOW, require_quiet=forbid)
    assert seen == [1]
    assert world.warehouse.path.read_bytes() == before
    assert beside(world) == ["topo.duckdb"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_restore_that_fails_at_the_rename_leaves_every_name_as_it_was(
    world: Workspace, file: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no locks here")

    backup(world.warehouse, file)
    if is_there:
        world.warehouse.path.write_bytes(b"spilt")
    else:
        world.warehouse.path.unlink()
    Path(f"{world.target}.wal").write_bytes(b"of the damaged one")
    before = {path.name: path.read_bytes() for path in world.warehouse.path.parent.iterdir()}
    monkeypatch.setattr(backups, "put_in_place", fail)
    monkeypatch.setattr(backups, "put_new", fail)
    with pytest.raises(WarehouseError, match="no locks here"):
        restored(world, file)
    assert {path.name: path.read_bytes() for path in world.warehouse.path.parent.iterdir()} == before


def test_a_backup_of_nothing_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="no warehouse"):
        backup(Warehouse(str(tmp_path / "none.duckdb")), tmp_path / "backup.duckdb")
    assert list(tmp_path.iterdir()) == []


def test_a_lake_is_told_how(tmp_path: Path) -> None:
    lake = Warehouse(f"ducklake:{tmp_path / 'lake.ducklake'}")
    with pytest.raises(WarehouseError, match="is a lake: copy its catalog"):
        backup(lake, tmp_path / "b.duckdb")
    with pytest.raises(WarehouseError, match="is a lake"):
        restore(lake, tmp_path / "b.duckdb", timezone="UTC", rules=DEFAULT_RULES, now=NOW)


def restore_and_be_killed(when: str, target: str, file: Path, _: Any) -> None:
    be_killed_at_the_rename(when)
    restore(Warehouse(target), file, timezone="UTC", rules=DEFAULT_RULES, now=NOW)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_leaves_the_one_or_the_other_and_the_next_restore_clears_up(
    world: Workspace, file: Path, when: str
) -> None:
    backed_up = everything(world.target)
    backup(world.warehouse, file)
    world.land(date(2026, 3, 3), [])
    there = everything(world.target)
    assert Child(restore_and_be_killed, when, world.target, file).wait() == -signal.SIGKILL
    assert everything(world.target) == (there if when == "before" else backed_up)
    restore(world.warehouse, file, timezone="UTC", rules=DEFAULT_RULES, now=datetime(2026, 6, 4, tzinfo=UTC))
    assert everything(world.target) == backed_up
    assert leftover_folders(world.warehouse.path) == []
    assert not [name for name in beside(world) if name.startswith(".")]
    assert os.path.lexists(file)
