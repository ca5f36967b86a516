"""The command `backfill`: output, files, exit codes and errors."""

import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import duckdb
import pytest
import stamina

from topo_pipeline.cli import progress
from topo_pipeline.defs.resources import utc_now
from topo_pipeline.ingest.loading import load_days
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.faults import Answer
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.topo_api.client import Retries, TopoClient
from topo_pipeline_tests.command_line import answer, assert_one_sentence
from topo_pipeline_tests.engagement.helpers import DAILY

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def api_url() -> Iterator[str]:
    with serve(
        create_app(World(11, scale=0.1), api_key=os.environ["TOPO_API_KEY"], now=lambda: NOW, date_clock=utc_now)
    ) as address:
        yield f"{address}/v1"


@pytest.fixture(scope="module")
def backfilled(tmp_path_factory: pytest.TempPathFactory, api_url: str) -> tuple[Path, CompletedProcess[str]]:
    """A folder in which four days were backfilled, and the command's result."""
    folder = tmp_path_factory.mktemp("backfilled")
    return folder, answer(folder, "backfill", "2026-03-01", "2026-03-04", tables=DAILY, TOPO_API_URL=api_url)


def test_a_backfill_lands_every_day_and_exits_with_0(backfilled: tuple[Path, CompletedProcess[str]]) -> None:
    folder, result = backfilled
    assert result.returncode == 0, result.stderr
    assert "4 days landed" in result.stdout
    with duckdb.connect(folder / "data" / "topo.duckdb", read_only=True) as connection:
        read = connection.execute("SELECT sum(rows)::BIGINT, sum(requests)::BIGINT FROM topo.topo.loads").fetchone()
    assert read is not None
    assert f"{read[0]:,} activities in {read[1]:,} requests" in result.stdout
    lines = result.stderr.splitlines()
    assert lines[:5] == [
        "Reading 4 days",
        "2026-03-01 landed: 1 of 4 days",
        "2026-03-02 landed: 2 of 4 days",
        "2026-03-03 landed: 3 of 4 days",
        "2026-03-04 landed: 4 of 4 days",
    ]
    assert [line for line in lines[5:] if not line.startswith("Building ")] == []
    assert "Building sequence_daily" in lines
    with duckdb.connect(folder / "data" / "topo.duckdb", read_only=True) as connection:
        landed = connection.execute("SELECT day FROM topo.topo.loads ORDER BY day").fetchall()
        tables = connection.execute("SELECT count(*) FROM engagement.sequence_daily").fetchone()
    assert landed == [(date(2026, 3, day),) for day in range(1, 5)]
    assert tables is not None
    assert tables[0] > 0
    assert (folder / ".dagster" / "dagster.yaml").exists()


def test_missing_reads_only_the_days_that_have_not_landed(
    backfilled: tuple[Path, CompletedProcess[str]], api_url: str, tmp_path: Path
) -> None:
    """The tables are also built with a day outside the range, which landed before but is not in them."""
    folder = shutil.copytree(backfilled[0], tmp_path / "copy")
    assert answer(folder, "backfill", "2026-03-09", tables=(), TOPO_API_URL=api_url).returncode == 0
    read = answer(
        folder, "backfill", "2026-03-03", "2026-03-06", "--missing", tables=["sequence_activity"], TOPO_API_URL=api_url
    )
    assert read.returncode == 0, read.stderr
    landed = [line.partition(" ")[0] for line in read.stderr.splitlines() if " landed: " in line]
    assert landed == ["2026-03-05", "2026-03-06"]
    assert "2 days landed" in read.stdout
    with duckdb.connect(folder / "data" / "topo.duckdb", read_only=True) as connection:
        loads = connection.execute("SELECT day, count(*) FROM topo.topo.loads GROUP BY ALL ORDER BY ALL").fetchall()
        in_tables = connection.execute("SELECT DISTINCT day FROM engagement.sequence_activity ORDER BY ALL").fetchall()
    assert loads == [(date(2026, 3, day), 1) for day in (*range(1, 7), 9)]
    assert {day for (day,) in in_tables} >= {date(2026, 3, day) for day in (5, 6, 9)}
    again = answer(folder, "backfill", "2026-03-01", "2026-03-06", "--missing", TOPO_API_URL="http://127.0.0.1:9/v1")
    assert (again.returncode, again.stdout) == (0, "No day is missing.\n")


def test_missing_builds_landed_days_that_are_not_in_the_tables(
    backfilled: tuple[Path, CompletedProcess[str]], api_url: str, tmp_path: Path
) -> None:
    """Such days remain when a run is killed after its days have landed."""
    folder = shutil.copytree(backfilled[0], tmp_path / "copy")
    answer(folder, "backfill", "2026-03-05", "2026-03-06", tables=(), TOPO_API_URL=api_url)
    status = answer(folder, "status").stdout
    assert "2 days not in the tables yet: 2026-03-05 to 2026-03-06" in status
    assert "To build the tables: topo-pipeline backfill --missing" in status
    command = ("backfill", "2026-03-01", "2026-03-06", "--missing")
    assert answer(folder, *command, "--dry-run", TOPO_API_URL=api_url).stdout == "No day is missing.\n"
    done = answer(folder, *command, tables=["sequence_activity"], TOPO_API_URL=api_url)
    assert (done.returncode, done.stderr.splitlines()[0]) == (0, "Building 2 days")
    with duckdb.connect(folder / "data" / "topo.duckdb", read_only=True) as connection:
        in_tables = connection.execute("SELECT DISTINCT day FROM engagement.sequence_activity").fetchall()
        loads = connection.execute("SELECT count(*) FROM topo.topo.loads").fetchone()
    assert {day.day for (day,) in in_tables} >= {2, 5, 6}
    assert loads == (6,)
    assert "not in the tables" not in answer(folder, "status").stdout


@pytest.mark.parametrize(
    ("option", "says"), [("--missing", "No day is missing."), ("--last=7d", "No day is over yet.")]
)
def test_on_the_first_day_of_a_workspace_no_day_is_over(tmp_path: Path, option: str, says: str) -> None:
    tomorrow = str(datetime.now(UTC).date() + timedelta(days=1))  # today could end while the test runs
    result = answer(tmp_path, "backfill", option, TOPO_START_DATE=tomorrow)
    assert (result.returncode, result.stdout) == (0, f"{says}\n")


def test_the_first_backfill_prints_one_line_about_the_contract_check(
    tmp_path: Path, api_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check is skipped for an API on this machine, so the test turns it on."""
    monkeypatch.setitem(load_days.__kwdefaults__, "checks_contract", True)
    result = answer(tmp_path, "backfill", "2026-03-03", "2026-03-03", tables=(), TOPO_API_URL=api_url)
    [line] = [line for line in result.stdout.splitlines() if "Contract check" in line]
    assert "assumptions hold" in line
    assert "topo-pipeline doctor --contract" in line


def test_the_contract_check_is_skipped_for_an_api_on_this_machine(
    backfilled: tuple[Path, CompletedProcess[str]],
) -> None:
    folder, result = backfilled
    assert "Contract check" not in result.stdout + result.stderr
    with duckdb.connect(folder / "data" / "topo.duckdb", read_only=True) as connection:
        assert connection.execute("FROM topo.topo.contract_checks").fetchall() == []


def test_a_backfill_leaves_the_key_in_no_file_or_output(backfilled: tuple[Path, CompletedProcess[str]]) -> None:
    folder, result = backfilled
    key = os.environ["TOPO_API_KEY"].encode()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".duckdb" for path in files)
    assert any(path.suffix == ".db" for path in files)
    assert [path for path in files if key in path.read_bytes()] == []
    assert key.decode() not in result.stdout + result.stderr


def test_a_wrong_key_is_a_one_line_error_that_names_the_variable(tmp_path: Path, api_url: str) -> None:
    wrong = "topo_wrong_0123456789"
    command = ("backfill", "2026-03-01", "2026-03-02")
    result = answer(tmp_path, *command, tables=(), TOPO_API_URL=api_url, TOPO_API_KEY=wrong)
    assert_one_sentence(result, "check TOPO_API_KEY", "request")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if wrong.encode() in path.read_bytes()] == []
    assert wrong not in result.stdout + result.stderr


def test_a_missing_key_is_a_one_line_error_and_creates_no_file(tmp_path: Path) -> None:
    result = answer(tmp_path, "backfill", "2026-03-01", "2026-03-02", TOPO_API_KEY=None)
    assert_one_sentence(result, "TOPO_API_KEY is not set")
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_host_is_named_in_a_one_line_error(tmp_path: Path) -> None:
    with stamina.set_testing(True, attempts=6):  # the usual number, without waiting
        result = answer(tmp_path, "backfill", "2026-03-01", tables=(), TOPO_API_URL="http://127.0.0.1:9/v1")
    assert_one_sentence(result, "127.0.0.1:9", "in 6 attempts")
    assert "Waiting" not in result.stderr  # short waits are not shown


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ("2026-03-02", "2026-03-01", "before the first day"),
        ("2026-02-30", "2026-03-01", "'2026-02-30' is not a date"),
        ("01/03/2026", "2026-03-01", "is not a date"),
        ("2025-12-31", "2026-01-02", "TOPO_START_DATE"),
        ("2026-03-01", str(datetime.now(UTC).date() + timedelta(days=2)), "is in the future"),
        ("--last", "3", "'3' is not a number of days or weeks"),
        ("--last", "0d", "'0d' is not a number of days or weeks"),
        ("--last=3d", "2026-03-01", "FROM and TO, or --last, but not both"),
        ("--allow-shrink", "2026-03-01", "Name the days to read"),
    ],
)
def test_an_invalid_date_range_is_a_one_line_error(tmp_path: Path, start: str, end: str, says: str) -> None:
    assert_one_sentence(answer(tmp_path, "backfill", start, end), says)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_warehouse_is_a_one_line_error_before_any_request(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    result = answer(tmp_path, "backfill", "2026-03-01", "2026-03-01", TOPO_API_URL="http://127.0.0.1:9/v1")
    assert_one_sentence(result, "warehouse", "data/topo.duckdb")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("TOPO_TIMEZONE", "Mars/Olympus", "TOPO_TIMEZONE"),
        ("TOPO_START_DATE", "soon", "TOPO_START_DATE"),
        ("TOPO_API_URL", "http://api.example.com/v1", "https"),
        ("TOPO_API_KEY", "two words", "TOPO_API_KEY"),
        ("TOPO_CONCURRENCY", "0", "TOPO_CONCURRENCY"),
    ],
)
def test_an_invalid_setting_is_a_one_line_error(tmp_path: Path, variable: str, value: str, says: str) -> None:
    result = answer(tmp_path, "backfill", "2026-03-01", "2026-03-01", **{variable: value})
    assert_one_sentence(result, says)


@pytest.mark.parametrize("option", ["--accept-unreadable", "--allow-shrink"])
def test_an_option_for_a_day_outside_the_range_is_refused(tmp_path: Path, option: str) -> None:
    result = answer(tmp_path, "backfill", "2026-03-01", "2026-03-02", option, "2026-03-09")
    assert_one_sentence(result, f"{option} 2026-03-09", "not among those to read (2026-03-01 to 2026-03-02)")
    assert result.returncode == 2


def test_a_backfill_warns_if_the_warehouse_lacks_recorded_days(
    backfilled: tuple[Path, CompletedProcess[str]], api_url: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(backfilled[0], tmp_path / "copy")
    mistyped = {"TOPO_API_URL": api_url, "TOPO_WAREHOUSE": "data/tpoo.duckdb"}
    result = answer(folder, "backfill", "2026-03-04", "2026-03-04", tables=(), **mistyped)
    assert result.returncode == 0
    [warning] = [line for line in result.stderr.splitlines() if "Dagster has records" in line]
    assert "are not in data/tpoo.duckdb: 2026-03-01 to 2026-03-03." in warning
    assert "If TOPO_WAREHOUSE is wrong, correct it." in warning


def test_a_long_wait_for_a_retry_is_one_line_that_names_the_day_the_reason_and_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_LONG", 0.0)
    monkeypatch.setitem(TopoClient.__init__.__kwdefaults__, "retries", Retries(wait_initial=0.01, wait_jitter=0))
    app = create_app(
        World(11, scale=0.1, starts=date(2026, 3, 1)),
        api_key=os.environ["TOPO_API_KEY"], now=lambda: NOW, date_clock=utc_now,
        faults=[Answer(status=503, times=1)],
    )  # fmt: skip
    with serve(app) as address:
        read = answer(tmp_path, "backfill", "2026-03-02", "2026-03-03", tables=(), TOPO_API_URL=f"{address}/v1")
    assert read.returncode == 0, read.stderr
    waits = [line for line in read.stderr.splitlines() if "Waiting" in line]
    assert waits
    for line in waits:
        assert re.match(r"Waiting until \d\d:\d\d:\d\d to retry a request for 2026-03-0[23]: 127.0.0.1.*503", line)
        assert "Try again later" not in line
