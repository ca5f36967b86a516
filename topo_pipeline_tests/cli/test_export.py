"""The command `export`: output, errors and signals."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow.parquet as pq
import pytest

from topo_pipeline.exports import tables
from topo_pipeline.exports.parquet import export_all
from topo_pipeline.exports.targets import publish, target_of
from topo_pipeline.settings import Settings
from topo_pipeline_tests.cli.conftest import ROWS, files_in, workspace
from topo_pipeline_tests.command_line import COMMAND, Forked, answer, assert_one_sentence
from topo_pipeline_tests.engagement.helpers import drop_all_but, march, uid
from topo_pipeline_tests.maintenance.test_forget import HERS, HIS, bytes_in

if TYPE_CHECKING:
    from topo_pipeline_tests.services.postgres import Database
    from topo_pipeline_tests.services.s3 import Bucket

TO_FILE = ("--output", "loads.csv")


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
        (("sequence_sumary",), ("no table sequence_sumary", "Did you mean: engagement.sequence_summary")),
        (("topo.forgotten",), ("no table topo.forgotten",)),
        (("sequence_runs", "--since", "2026-03-01"), ("engagement.sequence_runs has no days",)),
        (("sequence_daily", "--since", "soon"), ("'soon' is not a date",)),
        (("sequence_daily", "--format", "parquet"), ("--output sequence_daily.parquet",)),
        (("sequence_daily", "--output", "nowhere/daily.csv"), ("there is no folder", "nowhere")),
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


def test_forget_removes_the_person_from_published_tables(
    folder: Path, s3_bucket: "Bucket", postgres_database: "Database"
) -> None:
    drop_all_but(workspace(folder).warehouse, "sequence_runs")
    target = {"TOPO_PUBLISH_S3": f"{s3_bucket.url}/tables", "TOPO_PUBLISH_POSTGRES": postgres_database.dsn}
    settings = Settings(_env_file=None, **{name.removeprefix("TOPO_").lower(): value for name, value in target.items()})
    for name in settings.targets:
        publish(workspace(folder).warehouse, target_of(name, settings), now=march(20))

    def is_published(id_: str) -> bool:
        files = [key for key in s3_bucket.keys() if key.endswith("/sequence_runs.parquet")]  # noqa: SIM118
        contents = [pq.read_table(io.BytesIO(s3_bucket.read(key))).to_pylist() for key in files]
        with postgres_database.connect() as connection:
            contents.append(connection.execute("TABLE topo_published.sequence_runs").fetchall())
        return id_ in str(contents)

    assert is_published(uid("Ada"))
    done = answer(folder, "forget", uid("Ada"), "--yes", **target)
    assert done.returncode == 0, done.stderr
    assert not is_published(uid("Ada"))
    assert is_published(uid("Bob"))
    unreachable = answer(
        folder, "forget", uid("Bob"), "--yes", **target | {"TOPO_PUBLISH_POSTGRES": "host=127.0.0.1 port=9"}
    )
    assert unreachable.returncode == 1
    assert "A published copy may still contain the person." in unreachable.stderr


def test_forget_removes_the_person_from_published_exports(folder: Path) -> None:
    drop_all_but(workspace(folder).warehouse, "sequence_runs")
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


def never_finish_exporting() -> None:
    """Let this process write half of the file and then wait for a query, and print what it prints as its errors."""

    def write(connection: duckdb.DuckDBPyConnection, _: object, file: Path, **__: object) -> None:
        file.write_bytes(b"half")
        print("ready", file=sys.stderr, flush=True)
        connection.execute("SELECT max(md5(i::VARCHAR)) FROM range(10_000_000_000) AS t(i)")

    tables.write = write  # type: ignore[assignment]
    sys.stdout = sys.stderr


@pytest.mark.parametrize(
    ("options", "number"),
    [
        (TO_FILE, signal.SIGTERM),
        ((), signal.SIGINT),
        *(pytest.param(TO_FILE, number, marks=pytest.mark.full) for number in (signal.SIGINT, signal.SIGHUP)),
        *(pytest.param((), number, marks=pytest.mark.full) for number in (signal.SIGTERM, signal.SIGHUP)),
    ],
)
def test_a_signal_during_an_export_leaves_no_file(
    folder: Path, options: tuple[str, ...], number: signal.Signals
) -> None:
    (folder / "loads.csv").write_text("of last week")
    before = files_in(folder)
    exporting = Forked(folder, "export", "topo.loads", *options, before=never_finish_exporting)
    exporting.read_until("ready")
    os.kill(exporting.pid, number)
    to = " to loads.csv" if options else ""
    message = f"topo-pipeline: Stopped by {number.name}: nothing was written{to}.\n"
    assert exporting.end() == (128 + number, message)
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


def test_every_table_is_written_for_bi_tools(folder: Path) -> None:
    done = answer(folder, "export", "--all", TOPO_REPORT_DIR="data/report")
    assert done.returncode == 0, done.stderr
    latest = folder / "data" / "report" / "parquet" / "latest"
    assert (folder / done.stdout.strip()).resolve() == latest.resolve()
    written = json.loads((latest / "manifest.json").read_text())["tables"]
    assert {"topo.activities", "topo.loads"} <= written.keys()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(("--all", "sequence_daily"), "takes no table"), (("--all", "--raw"), "takes no table"), ((), "Name a table")],
)
def test_one_table_or_all_of_them_is_exported(folder: Path, arguments: tuple[str, ...], says: str) -> None:
    assert_one_sentence(answer(folder, "export", *arguments), says)
