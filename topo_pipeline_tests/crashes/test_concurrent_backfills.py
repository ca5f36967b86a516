"""Several machines backfill into one new warehouse at the same time, each with its own days and Dagster home.

One of the machines is the test process. The rest are processes of their own.
"""

import asyncio
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from topo_pipeline.defs.resources import utc_now
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.command_line import Forked, answer
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.crashes.source import ONE_DAY, window_of
from topo_pipeline_tests.engagement.helpers import Workspace
from topo_pipeline_tests.warehouse.builders import ask, path_of, records

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
WORLD = World(11, scale=0.1)
FIRST = date(2026, 3, 2)
INCREMENTAL = ("sequence_activity", "sequence_runs")
BUILT = (*INCREMENTAL, "sequence_cohorts", "sequence_daily", "sequence_summary")


class WaitForAll:
    """The sandbox, which answers only after each machine has requested its first day."""

    def __init__(self, ranges: list[list[date]]) -> None:
        self.app = create_app(WORLD, api_key=os.environ["TOPO_API_KEY"], now=lambda: NOW, date_clock=utc_now)
        self.not_requested = {days[0] + ONE_DAY for days in ranges}
        self.all_have_requested = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        for end in parse_qs(scope["query_string"].decode()).get("created_at_before", []):
            self.not_requested.discard(datetime.fromisoformat(end).date())
            if not self.not_requested:
                self.all_have_requested.set()
            await asyncio.wait_for(self.all_have_requested.wait(), PATIENCE)
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class Backfills:
    """The days of each machine, its exit code and errors, and the folder with the warehouse and the homes."""

    ranges: list[list[date]]
    results: list[tuple[int | None, str]]
    folder: Path

    @property
    def days(self) -> list[date]:
        return [day for days in self.ranges for day in days]


@pytest.fixture(
    scope="module",
    params=[(2, 2), pytest.param((4, 3), marks=pytest.mark.full)],
    ids=["two machines", "four machines"],
)
def backfills(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backfills:
    machines, length = request.param
    folder = tmp_path_factory.mktemp("machines")
    ranges = [[FIRST + (machine * length + n) * ONE_DAY for n in range(length)] for machine in range(machines)]

    homes = [folder / f"home {number}" for number in range(machines)]
    commands = [("backfill", str(days[0]), str(days[-1])) for days in ranges]
    with serve(WaitForAll(ranges)) as address:
        shared = {"TOPO_API_URL": f"{address}/v1", "TOPO_WAREHOUSE": str(folder / "topo.duckdb")}
        for home in homes:
            home.mkdir()
        others = [
            Forked(home, *command, tables=BUILT, DAGSTER_HOME=str(home), **shared)
            for home, command in zip(homes[1:], commands[1:], strict=True)
        ]
        own = answer(homes[0], *commands[0], tables=BUILT, DAGSTER_HOME=str(homes[0]), **shared)
        results = [(own.returncode, own.stderr), *(other.end() for other in others)]
    return Backfills(ranges, results, folder)


@pytest.fixture
def warehouse(backfills: Backfills) -> Warehouse:
    assert [code for code, _ in backfills.results] == [0] * len(backfills.ranges), backfills.results
    return Warehouse(str(backfills.folder / "topo.duckdb"), wait_seconds=0.001)


def test_each_backfill_lands_its_days_completely(warehouse: Warehouse, backfills: Backfills) -> None:
    landed = records(warehouse, "topo.activities")
    assert len(landed) == len({row["id"] for row in landed})
    for day in backfills.days:
        window = window_of(day)
        expected = WORLD.activities(window.start - timedelta(microseconds=1), window.end)
        assert {str(row["id"]) for row in landed if row["day"] == day} == {activity.id for activity in expected}
    assert {row["day"] for row in landed} <= set(backfills.days)  # a Sunday may have no activities


def test_the_ledger_has_one_load_per_day_and_one_workspace(warehouse: Warehouse, backfills: Backfills) -> None:
    assert sorted(load["day"] for load in records(warehouse, "topo.loads")) == backfills.days
    assert len(records(warehouse, "topo.workspace")) == 1
    assert len({load["run_id"] for load in records(warehouse, "topo.loads")}) == len(backfills.ranges)
    versions = [version for (version,) in ask(warehouse, "SELECT version FROM topo.migrations ORDER BY version")]
    assert versions == list(range(1, len(versions) + 1))


def test_the_tables_built_last_contain_all_days(warehouse: Warehouse, backfills: Backfills, tmp_path: Path) -> None:
    built = Workspace(warehouse.target)
    rebuilt = Workspace(str(shutil.copy(path_of(warehouse), tmp_path)), stale=set(backfills.days))
    rebuilt.build(*BUILT, full_refresh=True)
    for table in BUILT:
        assert built.rows(table) == rebuilt.rows(table) != []
    loads = sorted(load["load_id"] for load in records(warehouse, "topo.loads"))
    for table in INCREMENTAL:
        processed = [row["load_id"] for row in records(warehouse, "engagement.builds") if row["table_name"] == table]
        assert sorted(processed) == loads


def test_dagsters_records_contain_no_person_ids(warehouse: Warehouse, backfills: Backfills) -> None:
    people = {str(row["person_id"]) for row in records(warehouse, "topo.activities") if row["person_id"]}
    recorded = [path.read_bytes() for path in backfills.folder.glob("home */**/*") if path.is_file()]
    assert people
    assert recorded
    assert [person for person in people if any(person.encode() in content for content in recorded)] == []
