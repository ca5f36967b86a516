"""Export, backup and restore as a person meets them, a hostile or hurried one too."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from topo_pipeline.cli import arguments
from topo_pipeline.defs.run_maintenance import owner_tag
from topo_pipeline.exports.parquet import export_all
from topo_pipeline.maintenance import backups
from topo_pipeline.orchestration.instance import prepare
from topo_pipeline_tests.command_line import COMMAND, answer, assert_one_sentence, run
from topo_pipeline_tests.conftest import CHECKOUT, PATIENCE
from topo_pipeline_tests.engagement.helpers import Workspace, march, uid
from topo_pipeline_tests.maintenance.test_forget import HERS, HIS, bytes_in, forget_ada, workspace_of

ROWS = len(HERS) + len(HIS)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workspace_of(tmp_path_factory.mktemp("built"), [*HERS, *HIS]).warehouse.path


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    """Where somebody works: with a space, a quote and more in its name."""
    folder = tmp_path / "it's \U0001f600 here"
    (folder / "data").mkdir(parents=True)
    shutil.copy(built, folder / "data" / "topo.duckdb")
    return folder


def workspace(folder: Path) -> Workspace:
    return Workspace(str(folder / "data" / "topo.duckdb"))


def test_a_table_goes_into_a_pipe_as_csv(folder: Path) -> None:
    done = answer(folder, "export", "activities", "--since", "2026-03-03")
    heading, *rows = done.stdout.splitlines()
    assert heading.startswith("id,created_at,day,type,")
    assert len(rows) == len([a for a in (*HERS, *HIS) if a.created_at >= march(3, 0)])
    assert done.stderr == ""


def test_a_table_goes_into_a_file_as_parquet(folder: Path) -> None:
    done = answer(folder, "export", "topo.activities", "--format", "parquet", "--output", "a 'b' \U0001f4be.parquet")
    assert done.returncode == 0, done.stderr
    assert duckdb.read_parquet(str(folder / "a 'b' \U0001f4be.parquet")).count("*").fetchall() == [(ROWS,)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nope",), ("no table nope", "engagement.sequence_summary", "topo.activities")),
        (("topo.forgotten",), ("no table topo.forgotten",)),
        (("sequence_runs", "--since", "2026-03-01"), ("engagement.sequence_runs has no days",)),
        (("sequence_daily", "--since", "yesterday"), ("'yesterday' is not a date",)),
        (("sequence_daily", "--format", "parquet"), ("--output sequence_daily.parquet",)),
        (("sequence_daily", "--output", "nowhere/daily.csv"), ("No such file",)),
        (("sequence_daily", "--output", "data"), ("data can't be written: it is a folder",)),
        (("sequence_daily", "--output", "data/topo.duckdb"), ("the warehouse itself",)),
    ],
)
def test_what_can_not_be_exported_is_said_in_one_sentence(
    folder: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    before = (folder / "data" / "topo.duckdb").read_bytes()
    assert_one_sentence(answer(folder, "export", *arguments), *words)
    assert (folder / "data" / "topo.duckdb").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["data"]


def test_a_reader_that_has_had_enough_gets_no_traceback(folder: Path) -> None:
    environment = {**os.environ, "TOPO_WAREHOUSE": str(folder / "data" / "topo.duckdb")}
    with workspace(folder).warehouse.transaction() as connection:  # more than a pipe holds
        connection.execute(
            "INSERT INTO topo.rejects SELECT day, repeat('x', 9999), 'long', now(), uuid() FROM range(99), topo.loads"
        )
    command = [COMMAND, "export", "topo.rejects"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as export:  # noqa: S603
        assert export.stdout is not None and export.stderr is not None
        assert export.stdout.read(4) == b"day,"
        export.stdout.close()
        assert export.stderr.read() == b""


def test_a_backup_and_back(folder: Path) -> None:
    done = answer(folder, "backup", "b 'x' \U0001f4be.duckdb")
    assert done.returncode == 0, done.stderr
    assert "days up to 2026-03-05" in done.stdout
    forget_ada(workspace(folder))
    (folder / "data" / "topo.duckdb.wal").unlink(missing_ok=True)
    done = answer(folder, "restore", "b 'x' \U0001f4be.duckdb", "--yes")
    assert done.returncode == 0, done.stderr
    assert "data/topo.duckdb is restored: days up to 2026-03-05." in done.stdout
    assert "The previous warehouse is now data/topo.duckdb.replaced-" in done.stdout
    assert f"Activities of people erased since the backup, removed again: {len(HERS)}." in done.stdout
    assert "To read the days since then: topo-pipeline backfill 2026-03-06 " in done.stdout
    assert workspace(folder).select("SELECT count(*) FROM topo.activities") == [(len(HIS),)]


def test_who_is_forgotten_is_in_no_export_any_more(folder: Path) -> None:
    reports = folder / "report"
    for hour in (1, 2):
        export_all(workspace(folder).warehouse, reports / "parquet", now=march(20, hour))
    assert bytes_in(reports, uid("Ada"))
    done = answer(folder, "forget", uid("Ada"), "--yes", TOPO_REPORT_DIR=str(reports))
    assert done.returncode == 0, done.stderr
    [export, latest] = sorted((reports / "parquet").iterdir())
    assert latest.resolve() == export.resolve()
    people = duckdb.read_parquet(str(latest / "engagement" / "sequence_runs.parquet")).project("person_id::VARCHAR")
    assert set(people.fetchall()) == {(uid("Bob"),), (None,)}


def test_a_damaged_warehouse_is_restored_and_said_to_have_forgotten_whom_it_forgot(folder: Path) -> None:
    assert answer(folder, "backup", "b.duckdb").returncode == 0
    (folder / "data" / "topo.duckdb").write_bytes(b"spilt")
    done = answer(folder, "restore", "b.duckdb", "--yes")
    assert done.returncode == 0, done.stderr
    assert (
        "It is unknown who was erased since the backup. Erase them again: topo-pipeline forget PERSON_ID" in done.stdout
    )
    assert workspace(folder).select("SELECT count(*) FROM topo.activities") == [(ROWS,)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("backup", "data/topo.duckdb"), ("already exists",)),
        (("backup", "nowhere/b.duckdb"), ("can't be written", "No such file")),
        (("restore", "none.duckdb", "--yes"), ("There is no backup",)),
        (("restore", "text", "--yes"), ("can't be restored", "it is not a DuckDB file")),
        (("restore", "data/topo.duckdb", "--yes"), ("the warehouse itself",)),
        (("restore", "b.duckdb"), ("pass --yes",)),
    ],
)
def test_what_can_not_be_done_is_said_in_one_sentence_and_changes_nothing(
    folder: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    warehouse = folder / "data" / "topo.duckdb"
    (folder / "text").write_text("Dear diary")
    shutil.copy(warehouse, folder / "b.duckdb")
    before = warehouse.read_bytes()
    assert_one_sentence(answer(folder, *arguments), *words)
    assert warehouse.read_bytes() == before
    assert [path.name for path in warehouse.parent.iterdir()] == ["topo.duckdb"]


def test_nothing_is_restored_under_a_run(folder: Path) -> None:
    assert answer(folder, "backup", "b.duckdb").returncode == 0
    home = folder / "home"
    prepare(home)
    with dg.DagsterInstance.from_config(str(home)) as instance:

        @dg.job
        def reading() -> None: ...

        run = instance.create_run_for_job(reading, status=dg.DagsterRunStatus.STARTED)
        instance.add_run_tags(run.run_id, owner_tag(run.run_id))  # this process, which is alive
    done = answer(folder, "restore", "b.duckdb", "--yes", DAGSTER_HOME=str(home))
    assert_one_sentence(done, f"Run {run.run_id[:8]} is in progress")


@pytest.mark.parametrize("answers", ["--yes", "at a terminal"])
def test_a_run_that_begins_after_the_answer_keeps_the_warehouse_from_being_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch, answers: str
) -> None:
    assert answer(folder, "backup", "b.duckdb").returncode == 0
    home, before = folder / "home", (folder / "data" / "topo.duckdb").read_bytes()
    prepare(home)
    look, begun = backups.restore, []

    @dg.job
    def reading() -> None: ...

    def begin(*values: Any, **named: Any) -> backups.Restored:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            run = instance.create_run_for_job(reading, status=dg.DagsterRunStatus.STARTED)
            instance.add_run_tags(run.run_id, owner_tag(run.run_id))  # this process, which is alive
        begun.append(run.run_id)
        return look(*values, **named)

    monkeypatch.setattr(backups, "restore", begin)
    if answers != "--yes":
        monkeypatch.setattr(arguments, "confirm", lambda *_: None)
    options = ["--yes"] if answers == "--yes" else []
    done = answer(folder, "restore", "b.duckdb", *options, DAGSTER_HOME=str(home))
    assert_one_sentence(done, f"Run {begun[0][:8]} is in progress")
    assert (folder / "data" / "topo.duckdb").read_bytes() == before
    assert [path.name for path in (folder / "data").iterdir()] == ["topo.duckdb"]


# As cp, but it writes half of the copy and then waits for ever.
ENDLESS_COPY = """
import sys, threading
from pathlib import Path
from topo_pipeline.cli import app
from topo_pipeline.maintenance import backups
def copy(file, to, held):
    held.enter_context(file.open("rb"))
    to.write_bytes(b"half")
    print("ready", file=sys.stderr, flush=True)
    threading.Event().wait()
backups._copy = copy
app(sys.argv[1:])
"""
ENDLESS_EXPORT = """
import sys
from topo_pipeline.exports import tables
from topo_pipeline.cli import app
def write(connection, table, file, **_):
    file.write_bytes(b"half")
    print("ready", file=sys.stderr, flush=True)
    connection.execute("SELECT max(md5(i::VARCHAR)) FROM range(10_000_000_000) AS t(i)")
tables.write = write
app(sys.argv[1:])
"""


def environment_of(folder: Path, **changes: str) -> dict[str, str]:
    return {
        **os.environ,
        "TOPO_WAREHOUSE": str(folder / "data" / "topo.duckdb"),
        "PYTHONPATH": str(CHECKOUT),
        "TMPDIR": str(folder / "tmp"),
        **changes,
    }


@contextmanager
def running(folder: Path, command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(  # noqa: S603
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_copy_that_a_signal_stops_leaves_nothing(folder: Path, command: str, number: signal.Signals) -> None:
    (folder / "tmp").mkdir()
    shutil.copy(folder / "data" / "topo.duckdb", folder / "b.duckdb")
    name, target, options = {
        "backup": ("new.duckdb", "new.duckdb", []),
        "restore": ("b.duckdb", str(folder / "data" / "topo.duckdb"), ["--yes"]),
    }[command]
    environment = environment_of(folder, DAGSTER_HOME=str(folder.with_name("home")))
    before = files_in(folder)
    with running(folder, [sys.executable, "-c", ENDLESS_COPY, command, name, *options], environment) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        assert [path.read_text() for path in folder.rglob(".*/files/*.duckdb")] == ["half"]
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number
    assert said.strip() == f"topo-pipeline: Stopped by {number.name}: nothing was written to {target}."
    assert files_in(folder) == before
    assert workspace(folder).select("SELECT max(day) FROM topo.loads") == [(date(2026, 3, 5),)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("options", [(), ("--output", "loads.csv")])
def test_an_export_that_a_signal_stops_leaves_nothing(
    folder: Path, options: tuple[str, ...], number: signal.Signals
) -> None:
    (folder / "tmp").mkdir()
    (folder / "loads.csv").write_text("of last week")
    before = files_in(folder)
    command = [sys.executable, "-c", ENDLESS_EXPORT, "export", "topo.loads", *options]
    with running(folder, command, environment_of(folder)) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        process.send_signal(number)
        out, said = process.communicate(timeout=PATIENCE)
    to = " to loads.csv" if options else ""
    assert (process.returncode, out) == (128 + number, "")
    assert said.strip() == f"topo-pipeline: Stopped by {number.name}: nothing was written{to}."
    assert files_in(folder) == before
    assert (folder / "loads.csv").read_text() == "of last week"


def test_a_signal_that_comes_after_the_file_was_written_does_not_deny_it(folder: Path) -> None:
    program = """
import os, signal, sys
from topo_pipeline.maintenance import backups
from topo_pipeline.cli import app
put_new = backups.put_new
def put(*names):
    put_new(*names)
    os.kill(os.getpid(), signal.SIGTERM)
backups.put_new = put
app(["backup", "b.duckdb"])
"""
    done = run(folder, sys.executable, "-c", program, PYTHONPATH=str(CHECKOUT))
    assert_one_sentence(done, "Stopped by SIGTERM: b.duckdb was written.")
    assert done.returncode == 128 + signal.SIGTERM
    assert Workspace(str(folder / "b.duckdb")).select("SELECT count(*) FROM topo.activities") == [(ROWS,)]
    assert sorted(path.name for path in folder.iterdir()) == ["b.duckdb", "data"]


def test_what_was_told_to_ignore_a_closed_terminal_ignores_it(folder: Path) -> None:
    program = """
import os, signal
from topo_pipeline.cli import app
from topo_pipeline.maintenance import backups
copy = backups._copy
def slow(*names):
    os.kill(os.getpid(), signal.SIGHUP)
    copy(*names)
backups._copy = slow
app(["backup", "b.duckdb"])
"""
    done = run(folder, "nohup", sys.executable, "-c", program, PYTHONPATH=str(CHECKOUT))
    assert done.returncode == 0, done.stderr
    assert (folder / "b.duckdb").exists()


def test_an_export_to_what_is_no_regular_file_is_refused_in_one_sentence(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("data")
    before = files_in(folder)
    for name, words in {"pipe": "it is a named pipe", "link": "it is a symbolic link"}.items():
        done = answer(folder, "export", "topo.loads", "--output", name)
        assert_one_sentence(done, words)
        assert done.returncode == 1
    assert files_in(folder) == before
