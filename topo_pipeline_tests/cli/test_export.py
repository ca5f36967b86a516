"""The command `export`: output, errors and signals."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from topo_pipeline.exports.parquet import export_all
from topo_pipeline_tests.cli.conftest import ROWS, environment_of, files_in, running, workspace
from topo_pipeline_tests.command_line import COMMAND, answer, assert_one_sentence
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.engagement.helpers import march, uid
from topo_pipeline_tests.maintenance.test_forget import HERS, HIS, bytes_in


def test_export_prints_csv_by_default(folder: Path) -> None:
    done = answer(folder, "export", "activities", "--since", "2026-03-03")
    heading, *rows = done.stdout.splitlines()
    assert heading.startswith("id,created_at,day,type,")
    assert len(rows) == len([a for a in (*HERS, *HIS) if a.created_at >= march(3, 0)])
    assert done.stderr == ""


def test_export_writes_a_parquet_file(folder: Path) -> None:
    done = answer(folder, "export", "topo.activities", "--format", "parquet", "--output", "a 'b' \U0001f4be.parquet")
    assert done.returncode == 0, done.stderr
    assert duckdb.read_parquet(str(folder / "a 'b' \U0001f4be.parquet")).count("*").fetchall() == [(ROWS,)]


def test_raw_is_refused_for_parquet(folder: Path) -> None:
    done = answer(folder, "export", "topo.loads", "--format", "parquet", "--raw", "--output", "loads.parquet")
    assert_one_sentence(done, "--raw applies to CSV only")
    assert (done.returncode, files_in(folder)) == (2, ["data", "data/topo.duckdb"])
    assert "For CSV only." in answer(folder, "export", "--help").stdout


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
def test_an_invalid_export_is_a_one_line_error(
    folder: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    before = (folder / "data" / "topo.duckdb").read_bytes()
    assert_one_sentence(answer(folder, "export", *arguments), *words)
    assert (folder / "data" / "topo.duckdb").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["data"]


def test_a_closed_pipe_causes_no_traceback(folder: Path) -> None:
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


def test_forget_removes_the_person_from_published_exports(folder: Path) -> None:
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


@pytest.mark.parametrize(
    ("options", "number"),
    [
        *((("--output", "loads.csv"), number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)),
        ((), signal.SIGTERM),
        *(pytest.param((), number, marks=pytest.mark.full) for number in (signal.SIGINT, signal.SIGHUP)),
    ],
)
def test_a_signal_during_an_export_leaves_no_file(
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
        out, stderr = process.communicate(timeout=PATIENCE)
    to = " to loads.csv" if options else ""
    assert (process.returncode, out) == (128 + number, "")
    assert stderr.strip() == f"topo-pipeline: Stopped by {number.name}: nothing was written{to}."
    assert files_in(folder) == before
    assert (folder / "loads.csv").read_text() == "of last week"


def test_an_export_replaces_only_regular_files(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("data")
    before = files_in(folder)
    for name, words in {"pipe": "it is a named pipe", "link": "it is a symbolic link"}.items():
        done = answer(folder, "export", "topo.loads", "--output", name)
        assert_one_sentence(done, words)
        assert done.returncode == 1
    assert files_in(folder) == before
