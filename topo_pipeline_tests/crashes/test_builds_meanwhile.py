"""`sequence_runs` built while loads commit: it misses none of them, and takes none in twice."""

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
from topo_pipeline_tests.crashes.children import build_again_and_again, land_versions, load, write_step_by_step
from topo_pipeline_tests.crashes.source import DAYS, NEW, OLD
from topo_pipeline_tests.crashes.whole_days import at_once
from topo_pipeline_tests.engagement.helpers import Workspace
from topo_pipeline_tests.warehouse.builders import LANDED, LATER, land_into, records
from topo_pipeline_tests.warehouse.processes import Child

MONDAY, TUESDAY, WEDNESDAY = DAYS
EARLIER = LANDED - timedelta(days=1)  # by the clock of a machine that runs behind
ROUNDS = (NEW, OLD)


class Writer(Child):
    """Another process that writes, and commits only when it is told to."""

    def __init__(self, target: str) -> None:
        super().__init__(write_step_by_step, target)

    def begins(self, *what: object) -> None:
        self.pipe.send(what)

    def does(self, *what: object) -> None:
        self.begins(*what)
        assert self.hears() == "inside"

    def commits(self) -> None:
        self.pipe.send("commit")
        assert self.hears() == "committed"

    def dies(self) -> None:
        self.process.kill()
        assert self.ends() == -signal.SIGKILL


@pytest.fixture(scope="module")
def half_built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = Workspace(str(tmp_path_factory.mktemp("half_built") / "topo.duckdb"))
    land_into(workspace.warehouse, OLD.read(MONDAY))
    workspace.build("sequence_runs")
    land_into(workspace.warehouse, OLD.read(TUESDAY), now=LANDED + timedelta(hours=1))
    return workspace.warehouse.path


@pytest.fixture
def target(half_built: Path, tmp_path: Path) -> str:
    """A warehouse in which Monday's old version is landed and built, and Tuesday's is landed."""
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


def loads_taken_in(target: str) -> int:
    """How many loads the table says it has; each once, each in the ledger, and the rows are those of just these."""
    noted = [row["load_id"] for row in records(at_once(target), "engagement.builds")]
    assert len(noted) == len(set(noted))
    assert set(noted) <= {load["load_id"] for load in records(at_once(target), "topo.loads")}
    return len(noted)


def assert_nothing_is_missed(target: str) -> None:
    assert loads_taken_in(target) == len(records(at_once(target), "topo.loads"))
    anew = Workspace(str(shutil.copy(target, Path(target).with_name("copy.duckdb"))))
    anew.build("sequence_runs", full_refresh=True)
    for table in ("sequence_runs", "sequence_actions"):
        assert Workspace(target).rows(table) == anew.rows(table)


def test_a_load_that_waited_for_a_build_is_in_the_next_one(target: str, start: Callable[[], Writer]) -> None:
    builder, loader = start(), start()
    builder.does("build", LATER)
    loader.begins("land", NEW, MONDAY, EARLIER)
    assert loader.hears() == "waiting"
    builder.commits()
    assert loader.hears() == "inside"
    loader.commits()
    assert loads_taken_in(target) == 2
    build(target)
    assert_nothing_is_missed(target)


def test_a_build_that_waited_for_a_load_has_it(target: str, start: Callable[[], Writer]) -> None:
    builder, loader = start(), start()
    loader.does("land", NEW, MONDAY, EARLIER)
    builder.begins("build", LATER)
    assert builder.hears() == "waiting"
    loader.commits()
    assert builder.hears() == "inside"
    builder.commits()
    assert_nothing_is_missed(target)


class Late:
    """Topo as it is by now, which answers for no activities until it is told to."""

    def __init__(self) -> None:
        self.app = NEW.app()
        self.is_asked, self.go_on = threading.Event(), threading.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"].endswith("/activities"):
            self.is_asked.set()
            await asyncio.get_running_loop().run_in_executor(None, self.go_on.wait, PATIENCE)
        await self.app(scope, receive, send)


@pytest.fixture
def late_api() -> Iterator[tuple[Late, str]]:
    api = Late()
    with serve(api) as address:
        yield api, f"{address}/v1"
        api.go_on.set()


def test_loads_that_began_before_a_build_and_commit_after_it_are_in_the_next_one(
    target: str, late_api: tuple[Late, str]
) -> None:
    api, api_url = late_api
    late = Child(load, target, api_url, NEW.now, None)
    assert api.is_asked.wait(PATIENCE)
    land_into(at_once(target), OLD.read(WEDNESDAY), now=NEW.now + timedelta(days=1))
    build(target)
    assert loads_taken_in(target) == 3
    api.go_on.set()
    late.hears()
    assert late.ends() == 0
    build(target)
    assert loads_taken_in(target) == 3 + len(DAYS)
    assert_nothing_is_missed(target)


def test_a_build_that_waited_for_a_load_which_was_killed_does_not_note_it(
    target: str, start: Callable[[], Writer]
) -> None:
    builder, loader = start(), start()
    loader.does("land", NEW, MONDAY, LATER)
    builder.begins("build", LATER)
    assert builder.hears() == "waiting"
    loader.dies()
    assert builder.hears() == "inside"
    builder.commits()
    assert_nothing_is_missed(target)
    land_into(at_once(target), NEW.read(MONDAY), now=LATER)
    assert loads_taken_in(target) == 2
    build(target)
    assert_nothing_is_missed(target)


def test_a_build_that_was_killed_has_taken_in_nothing(target: str, start: Callable[[], Writer]) -> None:
    builder, loader = start(), start()
    builder.does("build", LATER)
    loader.begins("land", NEW, MONDAY, EARLIER)
    assert loader.hears() == "waiting"
    builder.dies()
    assert loader.hears() == "inside"
    loader.commits()
    assert loads_taken_in(target) == 1
    build(target)
    assert_nothing_is_missed(target)


def test_built_again_and_again_while_days_are_landed_and_landed_anew_it_ends_up_with_everything(target: str) -> None:
    loader, builder = Child(land_versions, target), Child(build_again_and_again, target)
    for version in ROUNDS:
        loader.pipe.send(version)
        assert loader.hears() == "landed"
        while builder.pipe.poll():
            builder.hears()
        for _ in range(2):  # the second has begun since
            assert builder.hears() == "built"
    loader.pipe.send(None)
    builder.pipe.send("stop")
    assert (loader.ends(), builder.ends()) == (0, 0)
    assert_nothing_is_missed(target)
    builds = {row["built_at"] for row in records(at_once(target), "engagement.builds")}
    assert len(builds) > len(ROUNDS)
