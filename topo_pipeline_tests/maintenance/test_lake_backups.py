"""The backup of a shared lake is the lake at one moment; a restore brings it back without people erased since."""

import os
import re
import shutil
import signal
import stat
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.maintenance import lake_backups
from topo_pipeline.maintenance.backups import backup, look, restore
from topo_pipeline.maintenance.copies import About, Restored
from topo_pipeline.maintenance.forget import forget
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.erasure import NOTHING, Trace
from topo_pipeline.warehouse.errors import WarehouseError, WarehouseInUse
from topo_pipeline.warehouse.places import SharedLake, dump
from topo_pipeline.warehouse.workspace import bind_timezone
from topo_pipeline_tests.command_line import answer
from topo_pipeline_tests.warehouse.builders import DAY, LATER, NEXT_DAY, activity, ask, land_into, noon, reading
from topo_pipeline_tests.warehouse.builders import snapshot as everything
from topo_pipeline_tests.warehouse.conftest import SetHook, prepared_with, shared_lake
from topo_pipeline_tests.warehouse.processes import Child
from topo_pipeline_tests.warehouse.worker import worker

if TYPE_CHECKING:
    from topo_pipeline_tests.services.postgres import Database, Postgres
    from topo_pipeline_tests.services.s3 import Bucket

ADA = "ada00000-0000-4000-8000-000000000001"
BOB = "b0b00000-0000-4000-8000-000000000002"
NOW = datetime(2026, 6, 3, tzinfo=UTC)
KEPT = "topo_replaced_20260603t000000z"
# What happens to a file of a backup, which file, and the words of the error.
DAMAGES: list[tuple[Callable[[Path], Any], str, str]] = [
    (Path.unlink, "*.parquet", "1 of its .* files are missing"),
    (lambda file: os.truncate(file, 5), "catalog.dump", "1 of its .* files are missing or have another size"),
    (lambda file: file.write_bytes(file.read_bytes()[:-1] + b"?"), "*.parquet", "checksum does not match"),
]


def people(*who: str, day: Any = DAY) -> Any:
    rows = [activity(n, {"type": "message.sent", "person_id": person}, noon(day)) for n, person in enumerate(who, 1)]
    return reading(*rows, day=day)


def filled(lake: Warehouse) -> Warehouse:
    """Land a day of Ada and Bob, and read it again with other rows, so that the lake has deleted rows and old files."""
    with lake.transaction() as connection:
        bind_timezone(connection, "UTC", now=LATER)
    land_into(lake, people(ADA, BOB, BOB, ADA))
    land_into(lake, people(ADA, BOB, BOB), now=LATER, may_shrink=True)
    return lake


@pytest.fixture(scope="module")
def prepared_lake(postgres: "Postgres", tmp_path_factory: pytest.TempPathFactory) -> "Iterator[tuple[Database, Path]]":
    with prepared_with(filled, postgres, tmp_path_factory) as prepared:
        yield prepared


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "it's a [backup] *"


def restored(lake: Warehouse, folder: Path, **options: Any) -> Restored:
    return restore(lake, folder, timezone="UTC", rules=DEFAULT_RULES, now=NOW, **options)


def erase(lake: Warehouse, person: str, folder: Path) -> Trace:
    how = {"exports": folder / "exports", "report": folder / "report.html"}
    return forget(lake, uuid.UUID(person), timezone="UTC", rules=DEFAULT_RULES, now=LATER, **how).trace


def in_schema(lake: Warehouse, schema: str) -> Warehouse:
    assert lake.storage
    return replace(lake, storage=replace(lake.storage, schema=schema))


def schemas(database: "Database") -> list[str]:
    with database.connect() as session:
        found = session.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ 'topo' ORDER BY nspname").fetchall()
    return [name for (name,) in found]


def folders_of(lake: Warehouse) -> int:
    assert lake.storage
    return len(list(Path(lake.storage.data_path).iterdir()))


def test_a_restore_brings_back_what_was_backed_up_and_keeps_the_replaced_lake(
    shared: Warehouse, folder: Path, tmp_path: Path, postgres_database: "Database"
) -> None:
    backed_up = everything(shared)
    assert backup(shared, folder) == look(folder) == About(None, DAY)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with pytest.raises(WarehouseError, match="already exists"):
        backup(shared, folder)
    land_into(shared, people(ADA, day=NEXT_DAY))
    newer = everything(shared)
    assert newer != backed_up
    [files] = (tmp_path / "data").iterdir()
    replaced = f"the schema {KEPT}, with its files in {files}/"
    assert restored(shared, folder) == Restored(About(None, DAY), replaced, NOTHING, erasures_unknown=False)
    assert everything(shared) == backed_up
    assert everything(in_schema(shared, KEPT)) == newer
    assert schemas(postgres_database) == ["topo", KEPT]
    land_into(shared, people(ADA, day=NEXT_DAY))
    assert ask(shared, "SELECT day, rows FROM landed_days ORDER BY day") == [(DAY, 3), (NEXT_DAY, 1)]


def test_people_erased_since_the_backup_stay_erased(shared: Warehouse, folder: Path, tmp_path: Path) -> None:
    backup(shared, folder)
    erase(shared, ADA, tmp_path)
    after_erasure = ask(shared, "FROM topo.activities")
    assert restored(shared, folder).erased == Trace(activities=1, changes=1, rejects=0, runs=0)
    assert ask(shared, "FROM topo.activities") == after_erasure
    assert ask(shared, "SELECT rows, suppressed FROM landed_days") == [(2, 1)]
    land_into(shared, people(ADA, BOB, BOB))
    assert ask(shared, "SELECT DISTINCT person_id::VARCHAR FROM topo.activities") == [(BOB,)]


@pytest.mark.full
def test_an_erasure_reaches_the_lake_that_a_restore_has_replaced(
    shared: Warehouse, folder: Path, tmp_path: Path
) -> None:
    backup(shared, folder)
    restored(shared, folder)
    erase(shared, ADA, tmp_path)
    for lake in (shared, in_schema(shared, KEPT)):
        assert ask(lake, "SELECT DISTINCT person_id::VARCHAR FROM topo.activities") == [(BOB,)]


@pytest.mark.full
def test_a_backup_can_be_restored_in_another_database_under_another_name(
    shared: Warehouse, folder: Path, tmp_path: Path, postgres: Any
) -> None:
    backed_up = everything(shared)
    backup(shared, folder)
    shutil.rmtree(tmp_path / "data")
    with postgres.database() as database:
        other = in_schema(shared_lake(database, tmp_path / "elsewhere"), "other_name")
        outcome = restored(other, folder)
        assert (outcome.replaced, outcome.erasures_unknown) == (None, True)
        assert everything(other) == backed_up


@pytest.mark.full
def test_two_lakes_of_one_database_do_not_disturb_each_other(
    shared: Warehouse, folder: Path, postgres_database: "Database"
) -> None:
    backed_up = everything(shared)
    backup(shared, folder)
    land_into(shared, people(BOB, day=NEXT_DAY))
    newer = everything(shared)
    other = in_schema(shared, "other_topo")
    restored(other, folder)
    assert everything(other) == backed_up
    assert everything(shared) == newer
    assert schemas(postgres_database) == ["other_topo", "topo"]


@pytest.mark.full
def test_a_lake_whose_files_are_lost_is_replaced_and_its_erasures_are_unknown(
    shared: Warehouse, folder: Path, tmp_path: Path
) -> None:
    backed_up = everything(shared)
    erase(shared, BOB, tmp_path)
    backup(shared, folder)
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "data").mkdir()
    assert restored(shared, folder).erasures_unknown
    assert ask(shared, "SELECT DISTINCT person_id::VARCHAR FROM topo.activities") == [(ADA,)]
    assert backed_up != everything(shared)


@pytest.mark.full
def test_a_backup_waits_for_a_writer_and_includes_its_rows(
    shared: Warehouse, folder: Path, on_waiting: SetHook
) -> None:
    with worker(shared, "hold", NEXT_DAY) as writer:
        writer.expect("inside")
        on_waiting(writer.resume)
        assert backup(shared, folder).last_day == NEXT_DAY


@pytest.mark.full
def test_a_writer_waits_for_the_dump_and_its_rows_are_not_in_the_backup(
    shared: Warehouse, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backed_up = everything(shared)
    dump, writers = SharedLake.dump, []

    def dump_while_somebody_waits(place: SharedLake, file: Path) -> None:
        writer = worker(shared, "land", NEXT_DAY)
        writers.append(writer)
        writer.__enter__().expect("waiting")
        dump(place, file)

    monkeypatch.setattr(SharedLake, "dump", dump_while_somebody_waits)
    backup(shared, folder)
    writers[0].__exit__(None, None, None)
    assert ask(shared, "SELECT day FROM landed_days ORDER BY day") == [(DAY,), (NEXT_DAY,)]
    restored(shared, folder)
    assert everything(shared) == backed_up


def during_the_copy(monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> None:
    """Call a function once, before the first file is copied to the backup."""
    download, calls = SharedLake.download, [call]

    def call_first(*arguments: Any) -> None:
        if calls:
            calls.pop()()
        download(*arguments)

    monkeypatch.setattr(SharedLake, "download", call_first)


@pytest.mark.full
def test_days_can_be_landed_and_the_lake_maintained_while_the_files_are_copied(
    shared: Warehouse, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backed_up = everything(shared)

    def write() -> None:
        land_into(shared, people(ADA), now=LATER, may_shrink=True)
        shared.maintain()

    during_the_copy(monkeypatch, write)
    backup(shared, folder)
    restored(shared, folder)
    assert everything(shared) == backed_up


@pytest.mark.full
def test_an_erasure_while_the_files_are_copied_ends_the_backup(
    shared: Warehouse, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    during_the_copy(monkeypatch, lambda: erase(shared, ADA, tmp_path))
    with pytest.raises(WarehouseError, match=r"has 0 bytes instead of \d+.*run the command again"):
        backup(shared, folder)
    assert not folder.exists()
    backup(shared, folder)


def back_up_and_be_killed(lake: Warehouse, folder: Path, _: Any) -> None:
    lake_backups._write_manifest = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    backup(lake, folder)


def test_a_killed_backup_leaves_nothing_that_a_restore_accepts_and_the_next_cleans_up(
    shared: Warehouse, folder: Path
) -> None:
    assert Child(back_up_and_be_killed, shared, folder).wait() == -signal.SIGKILL
    [left] = folder.parent.glob(".*.copying-*")
    assert not folder.exists()
    for rest in (left, left / "files" / folder.name):
        with pytest.raises(WarehouseError, match="no backup of a shared lake"):
            restored(shared, rest)
    backup(shared, folder)
    assert not left.exists()


def test_a_backup_with_a_missing_or_damaged_file_is_refused_and_changes_nothing(
    shared: Warehouse, folder: Path, tmp_path: Path
) -> None:
    before = everything(shared)
    backup(shared, folder)
    for number, (damage, which, words) in enumerate(DAMAGES):
        damaged = shutil.copytree(folder, tmp_path / f"damaged {number}")
        damage(next(iter(damaged.rglob(which))))
        with pytest.raises(WarehouseError, match=words) as caught:
            restored(shared, damaged)
        assert "\n" not in str(caught.value)
        assert everything(shared) == before
        assert folders_of(shared) == 1


def restore_and_be_killed(when: str, lake: Warehouse, folder: Path, _: Any) -> None:
    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    original = SharedLake.put_in_place
    if when == "halfway":
        SharedLake.upload = die  # type: ignore[method-assign]
    elif when == "before":
        SharedLake.put_in_place = die  # type: ignore[method-assign]
    else:
        SharedLake.put_in_place = lambda *a, **k: die(original(*a, **k))  # type: ignore[method-assign]
    restored(lake, folder)


@pytest.mark.full
@pytest.mark.parametrize("when", ["halfway", "before", "after"])
def test_a_killed_restore_leaves_a_whole_lake_and_the_next_cleans_up(
    shared: Warehouse, folder: Path, postgres_database: "Database", when: str
) -> None:
    backed_up = everything(shared)
    backup(shared, folder)
    land_into(shared, people(ADA, day=NEXT_DAY))
    newer = everything(shared)
    assert Child(restore_and_be_killed, when, shared, folder).wait() == -signal.SIGKILL
    assert everything(shared) == (backed_up if when == "after" else newer)
    restore(shared, folder, timezone="UTC", rules=DEFAULT_RULES, now=LATER)
    assert everything(shared) == backed_up
    assert len(schemas(postgres_database)) == folders_of(shared) == (3 if when == "after" else 2)


@pytest.mark.full
def test_a_restore_refused_at_the_last_moment_changes_nothing(
    shared: Warehouse, folder: Path, postgres_database: "Database"
) -> None:
    before = everything(shared)
    backup(shared, folder)

    def forbid() -> None:
        assert everything(shared) == before  # readers don't wait
        raise RuntimeError("forbidden")

    with pytest.raises(RuntimeError, match="forbidden"):
        restored(shared, folder, require_quiet=forbid)
    assert everything(shared) == before
    assert (schemas(postgres_database), folders_of(shared)) == (["topo"], 1)


@pytest.mark.full
def test_a_lake_is_not_replaced_while_it_is_read(
    shared: Warehouse, folder: Path, postgres_database: "Database"
) -> None:
    before = everything(shared)
    backup(shared, folder)
    with shared.reader() as connection:
        connection.execute("SELECT count(*) FROM topo.loads").fetchall()
        with pytest.raises(WarehouseInUse, match="is being read"):
            restored(replace(shared, wait_seconds=0.1), folder)
        assert connection.execute("SELECT count(*) FROM topo.activities").fetchall() == [(3,)]
    assert everything(shared) == before
    assert (schemas(postgres_database), folders_of(shared)) == (["topo"], 1)


@pytest.mark.full
def test_a_lake_is_not_replaced_after_the_lock_was_lost(
    shared: Warehouse, folder: Path, postgres_database: "Database"
) -> None:
    before = everything(shared)
    backup(shared, folder)

    def end_sessions() -> None:
        with postgres_database.connect() as session:
            session.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted")

    with pytest.raises(WarehouseError, match="can't be replaced"):
        restored(shared, folder, require_quiet=end_sessions)
    assert everything(shared) == before


def test_a_backup_of_another_organization_or_kind_is_refused(shared: Warehouse, folder: Path, tmp_path: Path) -> None:
    with shared.transaction() as connection:
        connection.execute("UPDATE topo.workspace SET organization_id = ?", [uuid.uuid4()])
    backup(shared, folder)
    with shared.transaction() as connection:
        connection.execute("UPDATE topo.workspace SET organization_id = ?", [uuid.uuid4()])
    with pytest.raises(WarehouseError, match="backup of organization"):
        restored(shared, folder)
    file = Warehouse(str(tmp_path / "topo.duckdb"))
    file.prepare()
    with pytest.raises(WarehouseError, match="is a backup of a shared lake"):
        restored(file, folder)
    with pytest.raises(WarehouseError, match="it is a file"):
        restored(shared, tmp_path / "topo.duckdb")


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_without_a_usable_pg_dump_the_error_says_how_to_back_up_by_hand(
    shared: Warehouse, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder.parent / "bin"))
    by_hand = r"pg_dump --format=custom --schema=topo --file=catalog\.dump"
    unusable = {
        None: "pg_dump is not installed",
        "echo 'pg_dump (PostgreSQL) 9.6.2'": "version 9 of pg_dump is installed",
        "case $1 in --version) echo 'pg_dump (PostgreSQL) 99.1';; *) echo no luck >&2; exit 1;; esac": "no luck",
    }
    for script, words in unusable.items():
        if script is not None:
            program(folder.parent / "bin", "pg_dump", script)
        with pytest.raises(WarehouseError, match=f"{words}.*{by_hand}") as caught:
            backup(shared, folder)
        assert "\n" not in str(caught.value)
        assert not folder.exists()


@pytest.mark.parametrize("hangs", [pytest.param("--version", marks=pytest.mark.full), "--no-password"])
def test_a_program_that_does_not_finish_is_ended(
    shared: Warehouse, folder: Path, monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    script = f"case $1 in {hangs}) exec tail -f /dev/null;; *) echo 'pg_dump (PostgreSQL) 99.1';; esac"
    program(folder.parent / "bin", "pg_dump", script)
    monkeypatch.setenv("PATH", f"{folder.parent / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(dump, "_CEILING", 0.6)
    with pytest.raises(WarehouseError, match=r"pg_dump had not finished after 0\.01 minutes.*by hand"):
        backup(shared, folder)
    assert not folder.exists()


@pytest.fixture
def reader(postgres_database: "Database") -> Iterator[str]:
    """Create a role that may read the lake, as docs/scale.md says, before the lake exists. Return its options."""
    with postgres_database.connect() as session:
        session.execute("CREATE ROLE a_reader LOGIN PASSWORD 'of_the_tests'")
        session.execute("CREATE SCHEMA topo")
        session.execute("GRANT USAGE ON SCHEMA topo TO a_reader")
        session.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA topo GRANT SELECT ON TABLES TO a_reader")
    yield "user=a_reader password=of_the_tests"
    with postgres_database.connect() as session:
        session.execute("DROP OWNED BY a_reader; DROP ROLE a_reader")


@pytest.mark.parametrize("is_lost", [pytest.param(False, marks=pytest.mark.full), True])
def test_readers_may_read_the_restored_lake(
    new_shared: Warehouse, folder: Path, postgres_database: "Database", reader: str, is_lost: bool
) -> None:
    filled(new_shared)
    as_reader = replace(new_shared, target=f"{new_shared.target} {reader}")
    before = ask(as_reader, "SELECT id FROM topo.activities ORDER BY ALL")
    backup(new_shared, folder)
    if is_lost:
        with postgres_database.connect() as session:
            session.execute("DROP SCHEMA topo CASCADE; CREATE SCHEMA topo; GRANT USAGE ON SCHEMA topo TO a_reader")
            session.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA topo GRANT SELECT ON TABLES TO a_reader")
    restored(new_shared, folder)
    assert ask(as_reader, "SELECT id FROM topo.activities ORDER BY ALL") == before
    with new_shared.transaction() as connection:  # a new table of the lake has new tables in its catalog
        connection.execute("CREATE TABLE engagement.added (value INTEGER); INSERT INTO engagement.added VALUES (7)")
    assert ask(as_reader, "FROM engagement.added") == [(7,)]
    with pytest.raises(WarehouseError), as_reader.transaction():
        pass


def test_an_owner_of_the_schema_may_restore_it_only_with_the_right_to_create_schemas(
    new_shared: Warehouse, folder: Path, postgres_database: "Database"
) -> None:
    with postgres_database.connect() as session:
        session.execute("CREATE ROLE an_owner LOGIN PASSWORD 'of_the_tests'")
        session.execute("CREATE SCHEMA topo AUTHORIZATION an_owner")
        try:
            lake = replace(new_shared, target=f"{new_shared.target} user=an_owner password=of_the_tests")
            before = everything(filled(lake))
            backup(lake, folder)
            with pytest.raises(WarehouseError, match="GRANT CREATE ON DATABASE .* TO .an_owner.$") as caught:
                restored(lake, folder)
            session.execute(re.findall("GRANT .*", str(caught.value))[0].encode())
            restored(lake, folder)
            assert everything(lake) == before
        finally:
            session.execute("DROP OWNED BY an_owner; DROP ROLE an_owner")


def test_no_program_gets_the_password_as_an_argument(
    shared: Warehouse, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "arguments"
    for name in ("pg_dump", "pg_restore", "psql"):
        program(tmp_path / "bin", name, f'echo {name} "$@" >> \'{log}\'; exec {shutil.which(name)} "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    backup(shared, folder)
    restored(shared, folder)
    assert all(f"{name} --no-" in log.read_text() for name in ("pg_dump", "pg_restore", "psql"))
    assert "pg_test_" not in log.read_text()


@pytest.mark.full
def test_the_commands_back_up_and_restore_a_lake(
    shared: Warehouse, tmp_path: Path, postgres_database: "Database"
) -> None:
    variables = {"TOPO_WAREHOUSE": shared.target, "TOPO_LAKE_DATA_PATH": str(tmp_path / "data")}
    variables["DAGSTER_HOME"] = str(tmp_path / "home")
    backed_up = answer(tmp_path, "backup", "b", **variables)
    assert (backed_up.returncode, backed_up.stderr) == (0, "")
    assert re.fullmatch(r"b: 0\.\d MB, days up to 2026-03-01\.\n", backed_up.stdout)
    done = answer(tmp_path, "restore", "b", "--yes", **variables)
    assert done.returncode == 0, done.stderr
    assert f"{shared.name} is restored: days up to 2026-03-01.\n" in done.stdout
    assert re.search(r"The previous warehouse is now the schema topo_replaced_\w+, with its files in /", done.stdout)
    assert len(schemas(postgres_database)) == 2


@pytest.mark.full
def test_a_lake_in_s3_is_backed_up_and_restored_without_people_erased_since(
    postgres_database: "Database", s3_bucket: "Bucket", folder: Path, tmp_path: Path
) -> None:
    lake = shared_lake(postgres_database, f"{s3_bucket.url}/lake", s3_bucket.environment)
    backed_up = everything(filled(lake))
    backup(lake, folder)
    land_into(lake, people(ADA, day=NEXT_DAY))

    def fail() -> None:
        raise RuntimeError("forbidden")

    keys = s3_bucket.keys()
    with pytest.raises(RuntimeError, match="forbidden"):
        restored(lake, folder, require_quiet=fail)
    assert s3_bucket.keys() == keys
    restored(lake, folder)
    assert everything(lake) == backed_up
    erase(lake, ADA, tmp_path)
    restore(lake, folder, timezone="UTC", rules=DEFAULT_RULES, now=LATER)
    assert ask(lake, "SELECT DISTINCT person_id::VARCHAR FROM topo.activities") == [(BOB,)]
    assert ask(lake, "SELECT rows, suppressed FROM landed_days") == [(2, 1)]
