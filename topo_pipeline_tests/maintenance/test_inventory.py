"""`forget` removes every trace of a person, in any encoding, from every place in the inventory."""

import re
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import duckdb
import pytest

from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.exports.parquet import LATEST, export_all
from topo_pipeline.maintenance.backups import backup, restore
from topo_pipeline.maintenance.inventory import NO_PERSON, TABLES, treatment_of
from topo_pipeline.report.page import FILE_NAME
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.files import logs_of, temporary_folder
from topo_pipeline_tests.command_line import answer
from topo_pipeline_tests.engagement.helpers import Workspace, drop_all_but
from topo_pipeline_tests.maintenance.test_forget import person_bytes
from topo_pipeline_tests.warehouse.builders import (
    DAY,
    LATER,
    Activity,
    activity,
    ask,
    land_into,
    land_templates_into,
    path_of,
    reading,
    template,
    uuid_of,
)
from topo_pipeline_tests.warehouse.test_erasure import ADA, BOB, ENCODINGS, HER_RUN, HIS_RUN, bind, in_run, of

EARLIER = datetime(2026, 5, 1, tzinfo=UTC)
SEQUENCE = uuid_of(0x5E9)
MESSAGE = uuid_of(0x3E55)
HERS = (str(ADA), HER_RUN, MESSAGE)
UNFINISHED = """
import os, sys, duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("SET wal_autocheckpoint = '1GB'")
change = "SELECT *, 'changed', load_id, landed_at FROM topo.topo.activities"
connection.execute(f"INSERT INTO topo.topo.activity_changes {change}")
os._exit(0)
"""
"""A process that exits right after a commit, so that its rows are only in the log next to the file."""


def replaced_in(folder: Path) -> list[Path]:
    return [path_of(copy) for copy in Warehouse(str(folder / "data" / "topo.duckdb")).replaced_copies()]


def rows(version: int) -> list[Activity]:
    hers = {"sequence_template_id": SEQUENCE, "message_id": MESSAGE, "channel": "EMAIL", "v": version}
    naming = [
        activity(100 + number, f'{{"type":"message.sent","v":{version},"note":"{encode(str(ADA))}"}}')
        for number, encode in enumerate(ENCODINGS.values())
    ]
    return [
        of(ADA, 1, HER_RUN, **hers),
        in_run(2, HER_RUN),
        activity(3, {"type": "message.opened", "message_id": MESSAGE, "v": version}),
        of(BOB, 4, HIS_RUN, sequence_template_id=SEQUENCE, channel="EMAIL", v=version),
        *naming,
    ]


def her_ids() -> list[str]:
    """Return the ids of the activities that belong to Ada."""
    return [id_ for id_, _, _ in rows(1) if id_ != uuid_of(4)]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a warehouse, exports, a report and leftovers of killed processes, all of which contain Ada."""
    folder = tmp_path_factory.mktemp("planted")
    data = folder / "data"
    data.mkdir()
    workspace = Workspace(str(data / "topo.duckdb"))
    warehouse = workspace.warehouse
    bind(warehouse)
    rejects = tuple((f'{{"id":"x","note":"{encode(str(ADA))}', "cut") for encode in ENCODINGS.values())
    land_into(warehouse, reading(*rows(1), rejects=rejects))
    land_into(warehouse, reading(*rows(2), rejects=rejects), LATER)
    land_templates_into(warehouse, template(0x5E9, name="Outbound", status="ACTIVE"))
    workspace.stale.add(DAY)
    workspace.build(
        "sequence_activity", "sequence_runs"
    )  # which are quicker to clean in the replaced warehouse than all tables

    backup(warehouse, folder / "backup.duckdb")
    how = {"timezone": "UTC", "rules": DEFAULT_RULES, "require_quiet": lambda: None}
    restore(warehouse, folder / "backup.duckdb", now=EARLIER, **how)
    (folder / "backup.duckdb").unlink()  # deleting it is up to the user
    workspace.build()
    warehouse = workspace.warehouse

    exports = data / "report" / "parquet"
    for now in (EARLIER, LATER):
        export_all(warehouse, exports, now=now)
    (data / "report" / FILE_NAME).write_text(f"<p>{ADA}</p>")
    for file in (path_of(warehouse), exports / LATEST, data / "report" / FILE_NAME, folder / "tmp" / "topo_pipeline"):
        killed(file).joinpath("half").write_text(" ".join(HERS))
    spilled = Path(f"{path_of(warehouse)}.tmp")
    spilled.mkdir()
    (spilled / "duckdb_temp_storage_DEFAULT-0.tmp").write_text(" ".join(HERS))
    subprocess.run([sys.executable, "-c", UNFINISHED, str(path_of(warehouse))], check=True)  # noqa: S603
    assert logs_of(path_of(warehouse))
    return folder


def killed(file: Path) -> Path:
    """Create a temporary folder as a killed process leaves it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f".{file.name}.writing-", dir=file.parent))


@pytest.fixture
def folder(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return copied(planted, tmp_path, monkeypatch)


def copied(planted: Path, to: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = shutil.copytree(planted, to / "here", symlinks=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
    return folder


@pytest.fixture(scope="module")
def forgotten(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CompletedProcess[str]]:
    """A copy of the folder after Ada was forgotten in it, and the result of the command."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = copied(planted, tmp_path_factory.mktemp("forgotten"), monkeypatch)
        return folder, forget_ada(folder)


def forget_ada(folder: Path) -> CompletedProcess[str]:
    return answer(folder, "forget", str(ADA), "--yes", TOPO_REPORT_DIR="data/report")


def without_report(folder: Path) -> None:
    """Remove what takes longest to renew: the report, the export and most metric tables."""
    shutil.rmtree(folder / "data" / "report")
    drop_all_but(Warehouse(str(folder / "data" / "topo.duckdb")), "sequence_runs")


def encoded(id_: str) -> set[bytes]:
    return person_bytes(id_) | {encode(id_).encode() for encode in ENCODINGS.values()}


def files_with(folder: Path, ids: list[str]) -> set[str]:
    """Return the files that contain one of the ids in any encoding; Parquet files are decoded."""
    texts, found = set().union(*map(encoded, ids)), set()
    with duckdb.connect() as connection:
        for path in folder.rglob("*"):
            if path.is_file():
                content = as_text(connection, path) if path.suffix == ".parquet" else path.read_bytes()
                written = content.replace(bytes(64), b"")  # most of a warehouse's file is empty
                if any(text in written for text in texts):
                    found.add(str(path.relative_to(folder)))
    return found


def as_text(connection: duckdb.DuckDBPyConnection, file: Path) -> bytes:
    return repr(connection.execute(f"FROM '{file}'").fetchall()).encode()  # noqa: S608


def test_forget_removes_the_person_from_every_place_and_keeps_everybody_else(
    planted: Path, forgotten: tuple[Path, CompletedProcess[str]]
) -> None:
    hers = [*HERS, *her_ids()]
    before = files_with(planted, hers)
    kinds = ("data/topo.duckdb", ".wal", ".tmp/", ".replaced-", "/sequence_runs.parquet", FILE_NAME, "/half")
    assert all(any(kind in name for name in before) for kind in kinds), before
    assert len({name for name in before if name.endswith("/half")}) == 4

    folder, result = forgotten
    assert result.returncode == 0, result.stderr
    assert files_with(folder, hers) == set()
    for file in (folder / "data" / "topo.duckdb", *replaced_in(folder)):
        assert ask(Warehouse(str(file)), "SELECT id::VARCHAR FROM topo.activities") == [(uuid_of(4),)]
    assert "sequence_id" in as_text_of_export(folder)
    assert HIS_RUN in as_text_of_export(folder)
    assert "Outbound" in (folder / "data" / "report" / FILE_NAME).read_text()

    cleaned = [
        line.removeprefix("Also cleaned: ") for line in result.stdout.splitlines() if line.startswith("Also cleaned")
    ]
    assert {"data/report/parquet", f"data/report/{FILE_NAME}"} <= set(cleaned)
    assert any(".replaced-" in name for name in cleaned)
    assert sum(".writing-" in name for name in cleaned) == 3  # the warehouse's own is removed when it is opened


def as_text_of_export(folder: Path) -> str:
    latest = folder / "data" / "report" / "parquet" / LATEST
    with duckdb.connect() as connection:
        result = connection.execute(f"FROM '{latest}/engagement/sequence_runs.parquet'")  # noqa: S608
        return repr([column[0] for column in result.description or ()]) + repr(result.fetchall())


def test_a_replaced_warehouse_that_cannot_be_cleaned_is_named_with_the_reason(folder: Path) -> None:
    [copy] = replaced_in(folder)
    copy.write_bytes(b"damaged" * 1000)
    without_report(folder)
    result = forget_ada(folder)
    assert result.returncode == 1
    assert f"{copy.relative_to(folder)} may still contain the person (" in result.stderr
    assert files_with(folder, [*HERS, *her_ids()]) == set()


def test_forgetting_again_cleans_new_leftovers_but_no_folder_in_use_or_not_ours(
    forgotten: tuple[Path, CompletedProcess[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(forgotten[0], tmp_path, monkeypatch)
    file = folder / "data" / "topo.duckdb"
    without_report(folder)
    killed(file).joinpath("half").write_text(str(ADA))
    open_to_others = killed(file)
    open_to_others.chmod(0o755)
    named_alike = file.with_name(".topo.duckdb.notes")
    named_alike.mkdir()
    with temporary_folder(file, "compacting") as in_use:
        assert forget_ada(folder).returncode == 0
        assert all(path.is_dir() for path in (open_to_others, named_alike, in_use))
    assert files_with(folder, [str(ADA)]) == set()


def test_every_table_of_a_warehouse_is_in_the_inventory(folder: Path) -> None:
    with duckdb.connect(folder / "data" / "topo.duckdb", read_only=True) as connection:
        comments = comments_of(connection)
    assert set(TABLES) <= set(comments)
    assert [table for table, comment in comments.items() if treatment_of(table, comment) is None] == []


def comments_of(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    names = "SELECT schema_name || '.' || table_name, comment FROM duckdb_tables() WHERE schema_name <> 'engagement'"
    return dict(connection.execute(names).fetchall())


def test_a_table_is_not_taken_to_hold_no_person_unless_its_migration_says_so() -> None:
    assert treatment_of("topo.mailboxes", "The mailboxes that send.") is None
    assert treatment_of("topo.mailboxes", f"The mailboxes that send. {NO_PERSON}") == "holds no person"
    assert treatment_of("topo.activities", f"The activities. {NO_PERSON}") == "rows are erased"


def test_only_tables_that_are_erased_from_contain_the_persons_ids(folder: Path) -> None:
    with duckdb.connect(folder / "data" / "topo.duckdb", read_only=True) as connection:
        for table, comment in comments_of(connection).items():
            text = repr(connection.execute(f"FROM topo.{table}").fetchall())  # noqa: S608
            names_her = any(id_ in text for id_ in HERS)
            assert names_her == (treatment_of(table, comment) == "rows are erased"), table


def test_what_holds_no_person_has_no_column_for_one(folder: Path) -> None:
    of_people = re.compile("person|people|contact|lead|user|owner|email|phone|first_name|last_name|linkedin")
    with duckdb.connect(folder / "data" / "topo.duckdb", read_only=True) as connection:
        for table, comment in comments_of(connection).items():
            if treatment_of(table, comment) == "holds no person":
                columns = [name for name, *_ in connection.execute(f"DESCRIBE topo.{table}").fetchall()]
                assert [name for name in columns if of_people.search(name)] == [], table
