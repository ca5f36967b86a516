"""Four machines backfill four ranges into one new warehouse at once, each by the command line and with its own home."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from urllib.parse import parse_qs

import pytest

from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.command_line import topo_pipeline
from topo_pipeline_tests.crashes.source import ONE_DAY, window_of
from topo_pipeline_tests.engagement.helpers import Workspace
from topo_pipeline_tests.warehouse.builders import ask, records

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
WORLD = World(11, scale=0.1)
STARTS = [date(2026, 3, number) for number in (1, 4, 7, 10)]
RANGES = [(start, start + 2 * ONE_DAY) for start in STARTS]
DAYS = [start + timedelta(days=n) for start in STARTS for n in range(3)]
INCREMENTAL = ("sequence_activity", "sequence_runs")


class Gathering:
    """The sandbox, which answers for no day until each of the four has asked for its first."""

    def __init__(self) -> None:
        self.app = create_app(WORLD, api_key=os.environ["TOPO_API_KEY"], now=lambda: NOW)
        self.missing = {start + ONE_DAY for start in STARTS}
        self.all_are_here = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        for end in parse_qs(scope["query_string"].decode()).get("created_at_before", []):
            self.missing.discard(datetime.fromisoformat(end).date())
            if not self.missing:
                self.all_are_here.set()
            await asyncio.wait_for(self.all_are_here.wait(), timeout=60)
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("four")


@pytest.fixture(scope="module")
def results(folder: Path) -> Iterator[list[CompletedProcess[str]]]:
    """What the four commands came to."""

    def backfill(api_url: str, first: date, last: date) -> CompletedProcess[str]:
        home = folder / f"home of {first}"
        home.mkdir()
        shared = {"TOPO_API_URL": api_url, "TOPO_WAREHOUSE": str(folder / "topo.duckdb")}
        return topo_pipeline(home, "backfill", str(first), str(last), DAGSTER_HOME=str(home), **shared)

    with serve(Gathering()) as address, ThreadPoolExecutor(max_workers=len(RANGES)) as at_once:
        yield list(at_once.map(lambda both: backfill(f"{address}/v1", *both), RANGES))


@pytest.fixture
def warehouse(folder: Path, results: list[CompletedProcess[str]]) -> Warehouse:
    assert [result.returncode for result in results] == [0] * len(RANGES), [result.stderr for result in results]
    return Warehouse(str(folder / "topo.duckdb"), wait_seconds=0.001)


def test_each_lands_its_days_with_every_activity(warehouse: Warehouse) -> None:
    landed = records(warehouse, "topo.activities")
    assert len(landed) == len({row["id"] for row in landed})
    for day in DAYS:
        window = window_of(day)
        there = WORLD.activities(window.start - timedelta(microseconds=1), window.end)
        assert {str(row["id"]) for row in landed if row["day"] == day} == {activity.id for activity in there}
    assert {row["day"] for row in landed} <= set(DAYS)  # on two Sundays nothing happened


def test_the_books_hold_one_load_a_day_and_one_workspace(warehouse: Warehouse) -> None:
    assert sorted(load["day"] for load in records(warehouse, "topo.loads")) == DAYS
    assert len(records(warehouse, "topo.workspace")) == 1
    assert len({load["run_id"] for load in records(warehouse, "topo.loads")}) == len(RANGES)
    versions = [version for (version,) in ask(warehouse, "SELECT version FROM topo.migrations ORDER BY version")]
    assert versions == list(range(1, len(versions) + 1))


def test_the_tables_of_whoever_was_last_hold_the_days_of_all(warehouse: Warehouse, tmp_path: Path) -> None:
    left = Workspace(warehouse.target)
    anew = Workspace(str(shutil.copy(warehouse.path, tmp_path)), stale=set(DAYS))
    anew.build(full_refresh=True)
    assert left.all_rows() == anew.all_rows()
    assert left.rows("sequence_summary")
    loads = sorted(load["load_id"] for load in records(warehouse, "topo.loads"))
    for table in INCREMENTAL:
        noted = [row["load_id"] for row in records(warehouse, "engagement.builds") if row["table_name"] == table]
        assert sorted(noted) == loads
