"""Backfills that are killed, interrupted or started a second time."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from topo_pipeline.defs.resources import utc_now
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline_tests.command_line import Forked, answer, assert_one_sentence
from topo_pipeline_tests.conftest import PATIENCE

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
RANGE = ("2026-03-02", "2026-03-04")
INTERRUPTED = (
    "topo-pipeline: Interrupted: 1 of 3 days landed. To read the rest: topo-pipeline backfill 2026-03-03 2026-03-04"
)


class PausedSandbox:
    """The sandbox, which doesn't answer requests for 3 March 2026 until it is released."""

    def __init__(self) -> None:
        self.app = create_app(
            World(11, scale=0.1), api_key=os.environ["TOPO_API_KEY"], now=lambda: NOW, date_clock=utc_now
        )
        self.waiting = threading.Event()
        self.release = threading.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if b"created_at_before=2026-03-04" in scope["query_string"]:
            self.waiting.set()
            await asyncio.get_running_loop().run_in_executor(None, self.release.wait, PATIENCE)
        await self.app(scope, receive, send)


@pytest.fixture
def paused() -> Iterator[tuple[PausedSandbox, str]]:
    api = PausedSandbox()
    with serve(api) as address:
        yield api, f"{address}/v1"
        api.release.set()


@pytest.fixture
def reading(paused: tuple[PausedSandbox, str], tmp_path: Path) -> Iterator[Forked]:
    """A backfill in another process that has landed its first day and waits for its second."""
    api, api_url = paused
    backfill = Forked(tmp_path, "backfill", *RANGE, tables=("sequence_activity",), TOPO_API_URL=api_url)
    backfill.read_until("2026-03-02 landed")
    assert api.waiting.wait(PATIENCE)
    yield backfill
    backfill.kill()


def _landed(folder: Path) -> list[int]:
    with duckdb.connect(folder / "data" / "topo.duckdb", read_only=True) as connection:
        return [
            day.day for (day,) in connection.execute("SELECT DISTINCT day FROM topo.topo.loads ORDER BY day").fetchall()
        ]


def _statuses() -> list[str]:
    with dg.DagsterInstance.get() as instance:
        return [run.status.name for run in instance.get_runs()]  # latest first


def test_after_a_kill_the_next_backfill_fails_the_orphaned_run_and_reads_the_rest(
    reading: Forked, paused: tuple[PausedSandbox, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, api_url = paused
    os.kill(reading.pid, signal.SIGKILL)
    reading.end()
    api.release.set()
    assert _landed(tmp_path) == [2]

    again = answer(tmp_path, "backfill", *RANGE, tables=(), TOPO_API_URL=api_url)

    assert again.returncode == 0, again.stderr
    assert _landed(tmp_path) == [2, 3, 4]
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / ".dagster"))
    assert _statuses() == ["SUCCESS", "FAILURE"]


def test_a_second_backfill_is_refused_while_one_is_reading(
    reading: Forked, paused: tuple[PausedSandbox, str], tmp_path: Path
) -> None:
    api, api_url = paused
    refused = answer(tmp_path, "backfill", *RANGE, TOPO_API_URL=api_url)
    assert_one_sentence(refused, "is reading Topo", f"end its process {reading.pid} (kill {reading.pid})")
    api.release.set()
    reading.read_until("2026-03-04 landed")


def _ended(backfill: Forked) -> tuple[int | None, list[str]]:
    """Wait for the process to end; return its exit code and its messages."""
    code, stderr = backfill.end()
    assert "Traceback" not in stderr
    return code, [line for line in stderr.splitlines() if line.startswith("topo-pipeline:")]


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGTERM, id="SIGTERM"), pytest.param(signal.SIGHUP, id="SIGHUP", marks=pytest.mark.full)],
)
def test_a_signal_ends_a_backfill_and_keeps_what_landed(
    reading: Forked, tmp_path: Path, number: signal.Signals
) -> None:
    os.kill(reading.pid, number)
    assert _ended(reading) == (1, [INTERRUPTED])
    assert _landed(tmp_path) == [2]


def _ctrl_c(backfill: Forked) -> None:
    """Send the first Ctrl-C, which the process confirms at once."""
    os.kill(backfill.pid, signal.SIGINT)
    backfill.read_until("Finishing the current day")


def test_ctrl_c_ends_a_backfill_after_the_current_day_and_updates_the_tables(
    reading: Forked, paused: tuple[PausedSandbox, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ctrl_c(reading)
    paused[0].release.set()
    message = (
        "topo-pipeline: Stopped as requested: 2 of 3 days landed. To read the rest: topo-pipeline backfill 2026-03-04"
    )
    assert _ended(reading) == (130, [message])
    assert _landed(tmp_path) == [2, 3]
    with duckdb.connect(tmp_path / "data" / "topo.duckdb", read_only=True) as connection:
        in_tables = connection.execute("SELECT DISTINCT day FROM engagement.sequence_activity ORDER BY day").fetchall()
    assert [day.day for (day,) in in_tables] == [2, 3]
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / ".dagster"))
    assert _statuses() == ["SUCCESS", "CANCELED"]


def test_a_second_ctrl_c_ends_a_backfill_immediately(reading: Forked, tmp_path: Path) -> None:
    _ctrl_c(reading)
    os.kill(reading.pid, signal.SIGINT)
    assert _ended(reading) == (130, [INTERRUPTED])
    assert _landed(tmp_path) == [2]
