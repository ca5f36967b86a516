"""`sequence_runs` is built while loads commit. It processes each load exactly once."""

import asyncio
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from topo_pipeline.sandbox.server import serve
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.crashes.children import build_repeatedly, land_versions, load, write_in_steps
from topo_pipeline_tests.crashes.day_checks import without_waiting
from topo_pipeline_tests.crashes.source import DAYS, NEW, OLD
from topo_pipeline_tests.engagement.helpers import Workspace
from topo_pipeline_tests.warehouse.builders import LANDED, LATER, land_into, path_of, records
from topo_pipeline_tests.warehouse.processes import Child

MONDAY, TUESDAY, WEDNESDAY = DAYS
BEHIND = LANDED - timedelta(days=1)  # the time on a clock that is behind
ROUNDS = (NEW, OLD)


class Writer(Child):
    """A process that runs each transaction up to its commit, and waits for the test."""

    def __init__(self, target: str) -> None:
        super().__init__(write_in_steps, target)

    def send(self, *action: object) -> None:
        self.pipe.send(action)

    def run_to_commit(self, *action: object) -> None:
        self.send(*action)
        assert self.receive() == "inside"

    def commit(self) -> None:
        self.pipe.send("commit")
        assert self.receive() == "committed"

    def kill(self) -> None:
        self.process.kill()
        assert self.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def half_built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = Workspace(str(tmp_path_factory.mktemp("half_built") / "topo.duckdb"))
    land_into(workspace.warehouse, OLD.read(MONDAY))
    workspace.build("sequence_runs")
    land_into(workspace.warehouse, OLD.read(TUESDAY), now=LANDED + timedelta(hours=1))
    return path_of(workspace.warehouse)


@pytest.fixture
def target(half_built: Path, tmp_path: Path) -> str:
    """Return a warehouse with the old version of Monday, which has been built, and of Tuesday, which has not."""
    return str(shutil.copy(half_built, tmp_path))


@pytest.fixture
def start(target: str) -> Iterator[Callable[[], Writer]]:
    started: list[Writer] = []

    def start() -> Writer:
        started.append(Writer(target))
        return started[-1]

    yield start
    for writer in started:
        writer.process.kill()
        writer.process.join()


def build(target: str) -> None:
    Workspace(target, now=LATER).build("sequence_runs")


def processed_loads(target: str) -> int:
    """Return the number of loads that the table has processed, each once and each in the ledger."""
    processed = [row["load_id"] for row in records(without_waiting(target), "engagement.builds")]
    assert len(processed) == len(set(processed))
    assert set(processed) <= {load["load_id"] for load in records(without_waiting(target), "topo.loads")}
    return len(processed)


def assert_every_load_is_processed(target: str) -> None:
    assert processed_loads(target) == len(records(without_waiting(target), "topo.loads"))
    rebuilt = Workspace(str(shutil.copy(target, Path(target).with_name("copy.duckdb"))))
    rebuilt.build("sequence_runs", full_refresh=True)
    for table in ("sequence_runs", "sequence_actions"):
        assert Workspace(target).rows(table) == rebuilt.rows(table)


def test_the_next_build_processes_a_load_that_waited_for_a_build(target: str, start: Callable[[], Writer]) -> None:
    builder, loader = start(), start()
    builder.run_to_commit("build", LATER)
    loader.send("land", NEW, MONDAY, BEHIND)
    assert loader.receive() == "waiting"
    builder.commit()
    assert loader.receive() == "inside"
    loader.commit()
    assert processed_loads(target) == 2
    build(target)
    assert_every_load_is_processed(target)


def test_a_build_that_waited_for_a_load_processes_it(target: str, start: Callable[[], Writer]) -> None:
    builder, loader = start(), start()
    loader.run_to_commit("land", NEW, MONDAY, BEHIND)
    builder.send("build", LATER)
    assert builder.receive() == "waiting"
    loader.commit()
    assert builder.receive() == "inside"
    builder.commit()
    assert_every_load_is_processed(target)


class DelayedApi:
    """The new version of the API, which answers requests for activities only when the test says so."""

    def __init__(self) -> None:
        self.app = NEW.app()
        self.was_requested, self.may_answer = threading.Event(), threading.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"].endswith("/activities"):
            self.was_requested.set()
            await asyncio.get_running_loop().run_in_executor(None, self.may_answer.wait, PATIENCE)
        await self.app(scope, receive, send)


@pytest.fixture
def delayed_api() -> Iterator[tuple[DelayedApi, str]]:
    api = DelayedApi()
    with serve(api) as address:
        yield api, f"{address}/v1"
        api.may_answer.set()


def test_the_next_build_processes_loads_that_began_before_the_last_one(
    target: str, delayed_api: tuple[DelayedApi, str]
) -> None:
    api, api_url = delayed_api
    delayed_load = Child(load, target, api_url, NEW.now, None)
    assert api.was_requested.wait(PATIENCE)
    land_into(without_waiting(target), OLD.read(WEDNESDAY), now=NEW.now + timedelta(days=1))
    build(target)
    assert processed_loads(target) == 3
    api.may_answer.set()
    delayed_load.receive()
    assert delayed_load.wait() == 0
    build(target)
    assert processed_loads(target) == 3 + len(DAYS)
    assert_every_load_is_processed(target)


def test_a_build_that_waited_for_a_killed_load_does_not_record_it(target: str, start: Callable[[], Writer]) -> None:
    builder, loader = start(), start()
    loader.run_to_commit("land", NEW, MONDAY, LATER)
    builder.send("build", LATER)
    assert builder.receive() == "waiting"
    loader.kill()
    assert builder.receive() == "inside"
    builder.commit()
    assert_every_load_is_processed(target)
    land_into(without_waiting(target), NEW.read(MONDAY), now=LATER)
    assert processed_loads(target) == 2
    build(target)
    assert_every_load_is_processed(target)


def test_a_killed_build_processes_nothing(target: str, start: Callable[[], Writer]) -> None:
    builder, loader = start(), start()
    builder.run_to_commit("build", LATER)
    loader.send("land", NEW, MONDAY, BEHIND)
    assert loader.receive() == "waiting"
    builder.kill()
    assert loader.receive() == "inside"
    loader.commit()
    assert processed_loads(target) == 1
    build(target)
    assert_every_load_is_processed(target)


def test_repeated_builds_during_loads_and_reloads_process_every_load(target: str) -> None:
    loader, builder = Child(land_versions, target), Child(build_repeatedly, target)
    for version in ROUNDS:
        loader.pipe.send(version)
        assert loader.receive() == "landed"
        while builder.pipe.poll():
            builder.receive()
        for _ in range(2):  # the second build started after the load
            assert builder.receive() == "built"
    loader.pipe.send(None)
    builder.pipe.send("stop")
    assert (loader.wait(), builder.wait()) == (0, 0)
    assert_every_load_is_processed(target)
    builds = {row["built_at"] for row in records(without_waiting(target), "engagement.builds")}
    assert len(builds) > len(ROUNDS)
