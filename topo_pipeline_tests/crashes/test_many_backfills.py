"""Several machines backfill into one new warehouse at once, each with its own days, command and Dagster home.

One of the machines is the process of the tests, which has imported Dagster; the others are processes of their own.
"""

import asyncio
import os
import shutil
import subprocess
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
from topo_pipeline_tests.command_line import COMMAND, answer
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.crashes.source import ONE_DAY, window_of
from topo_pipeline_tests.engagement.helpers import Workspace
from topo_pipeline_tests.warehouse.builders import ask, records

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
WORLD = World(11, scale=0.1)
FIRST = date(2026, 3, 2)
INCREMENTAL = ("sequence_activity", "sequence_runs")


class Gathering:
    """The sandbox, which answers for no day until each machine has asked for its first."""

    def __init__(self, ranges: list[list[date]]) -> None:
        self.app = create_app(WORLD, api_key=os.environ["TOPO_API_KEY"], now=lambda: NOW, date_clock=utc_now)
        self.missing = {days[0] + ONE_DAY for days in ranges}
        self.all_are_here = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        for end in parse_qs(scope["query_string"].decode()).get("created_at_before", []):
            self.missing.discard(datetime.fromisoformat(end).date())
            if not self.missing:
                self.all_are_here.set()
            await asyncio.wait_for(self.all_are_here.wait(), PATIENCE)
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class Done:
    """The days of each machine, its exit code and errors, and the folder that the warehouse and their homes are in."""

    ranges: list[list[date]]
    results: list[tuple[int, str]]
    folder: Path

    @property
    def days(self) -> list[date]:
        return [day for days in self.ranges for day in days]


@pytest.fixture(
    scope="module",
    params=[(2, 2), pytest.param((4, 3), marks=pytest.mark.full)],
    ids=["two machines", "four machines"],
)
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    machines, length = request.param
    folder = tmp_path_factory.mktemp("machines")
    ranges = [[FIRST + (machine * length + n) * ONE_DAY for n in range(length)] for machine in range(machines)]

    homes = [folder / f"home {number}" for number in range(machines)]
    commands = [("backfill", str(days[0]), str(days[-1])) for days in ranges]
    with serve(Gathering(ranges)) as address:
        shared = {"TOPO_API_URL": f"{address}/v1", "TOPO_WAREHOUSE": str(folder / "topo.duckdb")}
        for home in homes:
            home.mkdir()
        others = [
            subprocess.Popen(  # noqa: S603
                [COMMAND, *command],
                cwd=home,
                env={**os.environ, **shared, "DAGSTER_HOME": str(home)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for home, command in zip(homes[1:], commands[1:], strict=True)
        ]
        own = answer(homes[0], *commands[0], DAGSTER_HOME=str(homes[0]), **shared)
        errors = [other.communicate(timeout=PATIENCE)[1] for other in others]
    codes = [other.returncode for other in others]
    return Done(ranges, [(own.returncode, own.stderr), *zip(codes, errors, strict=True)], folder)


@pytest.fixture
def warehouse(done: Done) -> Warehouse:
    assert [code for code, _ in done.results] == [0] * len(done.ranges), done.results
    return Warehouse(str(done.folder / "topo.duckdb"), wait_seconds=0.001)


def test_each_lands_its_days_with_every_activity(warehouse: Warehouse, done: Done) -> None:
    landed = records(warehouse, "topo.activities")
    assert len(landed) == len({row["id"] for row in landed})
    for day in done.days:
        window = window_of(day)
        there = WORLD.activities(window.start - timedelta(microseconds=1), window.end)
        assert {str(row["id"]) for row in landed if row["day"] == day} == {activity.id for activity in there}
    assert {row["day"] for row in landed} <= set(done.days)  # on a Sunday nothing may have happened


def test_the_books_hold_one_load_a_day_and_one_workspace(warehouse: Warehouse, done: Done) -> None:
    assert sorted(load["day"] for load in records(warehouse, "topo.loads")) == done.days
    assert len(records(warehouse, "topo.workspace")) == 1
    assert len({load["run_id"] for load in records(warehouse, "topo.loads")}) == len(done.ranges)
    versions = [version for (version,) in ask(warehouse, "SELECT version FROM topo.migrations ORDER BY version")]
    assert versions == list(range(1, len(versions) + 1))


def test_the_tables_that_were_built_last_hold_the_days_of_all(warehouse: Warehouse, done: Done, tmp_path: Path) -> None:
    left = Workspace(warehouse.target)
    rebuilt = Workspace(str(shutil.copy(warehouse.path, tmp_path)), stale=set(done.days))
    rebuilt.build(full_refresh=True)
    assert left.all_rows() == rebuilt.all_rows()
    assert left.rows("sequence_summary")
    loads = sorted(load["load_id"] for load in records(warehouse, "topo.loads"))
    for table in INCREMENTAL:
        noted = [row["load_id"] for row in records(warehouse, "engagement.builds") if row["table_name"] == table]
        assert sorted(noted) == loads


def test_no_record_of_dagster_names_a_person(warehouse: Warehouse, done: Done) -> None:
    people = {str(row["person_id"]) for row in records(warehouse, "topo.activities") if row["person_id"]}
    recorded = [path.read_bytes() for path in done.folder.glob("home */**/*") if path.is_file()]
    assert people
    assert recorded
    assert [person for person in people if any(person.encode() in content for content in recorded)] == []
