"""Output of the commands for unreadable rows and unproved days."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
import pytest

from topo_pipeline.defs.resources import utc_now
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.command_line import answer, assert_one_sentence
from topo_pipeline_tests.defs.conftest import AlteredSandbox
from topo_pipeline_tests.warehouse.builders import ask

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
FIRST, SECOND = "2026-03-02", "2026-03-03"
DAYS = (FIRST, SECOND)


@dataclass
class Place:
    """A folder to run commands in, and the API that they call."""

    folder: Path
    api: AlteredSandbox
    address: str

    def fault(self, *faults: dict[str, Any]) -> None:
        httpx.put(f"{self.address}/faults", json=faults).raise_for_status()

    def run(self, *arguments: str, **environment: str) -> CompletedProcess[str]:
        api = {"TOPO_API_URL": f"{self.address}/v1"}
        return answer(self.folder, *arguments, tables=(), **api, **environment)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return ask(Warehouse(str(self.folder / "data" / "topo.duckdb")), sql)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    api = AlteredSandbox(
        create_app(World(11, scale=0.1), api_key=os.environ["TOPO_API_KEY"], now=lambda: NOW, date_clock=utc_now)
    )
    with serve(api) as address:
        yield Place(tmp_path, api, address)


def test_days_with_only_unreadable_rows_are_refused_and_every_command_says_so(place: Place) -> None:
    place.fault({"kind": "unreadable", "every": 1})
    read, status, doctor = place.run("backfill", *DAYS), place.run("status"), place.run("doctor")
    assert_one_sentence(read, *(f"--accept-unreadable {day}" for day in DAYS), "rows that Topo sent can't be read")
    assert "No day has landed yet" in status.stdout
    [refused] = [line for line in doctor.stdout.splitlines() if "failed days" in line]
    assert "rows that Topo sent can't be read (first reason: " in refused
    assert place.ask("SELECT count(*) FROM topo.loads") == [(0,)]
    assert not any("Traceback" in result.stdout + result.stderr for result in (read, status, doctor))


def test_a_few_unreadable_rows_are_reported_and_the_day_is_proved(place: Place) -> None:
    place.fault({"kind": "unreadable", "every": 40})
    read = place.run("backfill", *DAYS)
    assert read.returncode == 0, read.stderr
    counts = place.ask("SELECT day, proved, rejects FROM topo.loads ORDER BY day")
    assert all(proved and rejects for _, proved, rejects in counts)
    by_day = ", ".join(f"{day} ({rejects})" for day, _, rejects in counts)
    line = f"{sum(rejects for *_, rejects in counts)} rows could not be read: {by_day}"
    assert line in read.stderr
    assert line in place.run("status").stdout
    assert line in place.run("doctor").stdout


def test_a_day_with_accepted_unreadable_rows_lands_unproved(place: Place) -> None:
    place.fault({"kind": "unreadable", "every": 3})
    read = place.run("backfill", FIRST, FIRST, "--accept-unreadable", FIRST, "--json")
    assert_one_sentence(read, f"{FIRST} landed, but is not proved complete: ", "rows that Topo sent can't be read")
    [(proved, rejects)] = place.ask("SELECT proved, rejects FROM topo.loads")
    assert not proved
    output = json.loads(read.stdout)
    assert (output["landed"], output["problems"], output["unreadable"]) == ([FIRST], [], {FIRST: rejects})
    assert output["unproved"].keys() == {FIRST}


def test_a_day_that_lands_unproved_is_reported_and_the_exit_code_is_1(place: Place) -> None:
    place.api.miscounted = {date.fromisoformat(SECOND)}
    read = place.run("backfill", *DAYS, TOPO_COMPLETENESS="warn")
    assert_one_sentence(read, f"{SECOND} landed, but is not proved complete: ", "1 missing")
    assert read.returncode == 1
    assert "2 days landed" in read.stdout
    assert FIRST not in read.stderr.splitlines()[-1]
