"""Every fault of the sandbox, over real HTTP, through the asset: a day lands whole, or is refused and left as it was.

A day that has landed and one that has not are read under each fault. Whatever befalls them, the key shows nowhere.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from topo_pipeline import definitions
from topo_pipeline.defs.resources import Topo
from topo_pipeline.runs import Outcome
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.settings import Settings
from topo_pipeline.topo_api.client import Retries
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.conftest import CHECKOUT
from topo_pipeline_tests.defs.conftest import NOW, Bent, Pipeline
from topo_pipeline_tests.defs.fault_cases import ADVICE, CORE, KEY, LANDS, PAGES, QUICK, REFUSED, Case

OLD, NEW = date(2026, 3, 2), date(2026, 3, 3)
DAYS = [OLD, NEW]
PAGE = 100
LASTING = {"crowd", "appearing", "vanishing", "unknown", "nulls", "unreadable"}
"""What stands in the source itself, and not only on the way from it."""


@dataclass
class Sandbox:
    """The API that is faulty, and what the tests themselves see of it."""

    api: Bent
    world: World
    url: str
    http: httpx.Client

    def plan(self, *faults: dict[str, Any]) -> None:
        """Set the faults from here on."""
        self.http.put("/faults", json=faults).raise_for_status()

    def requests(self) -> int:
        """How often activities were asked for so far."""
        return self.api.asked.count("/v1/activities")

    def truth(self, plan: list[dict[str, Any]], day: date) -> list[Any]:
        """What the source comes to show of a day, as it stands in JSON; read until it moves no more."""
        self.plan(*(fault for fault in plan if fault["kind"] in LASTING))
        reading, before = self._items(day), None
        while reading != before:
            reading, before = self._items(day), reading
        return reading

    def _items(self, day: date) -> list[Any]:
        start = datetime.combine(day, time(), UTC)
        params = {
            "created_at_after": (start - timedelta(milliseconds=1)).isoformat(),
            "created_at_before": (start + timedelta(days=1)).isoformat(),
            "size": PAGE,
            "sort_by": "created_at",
            "sort_order": "asc",
        }
        items: list[Any] = []
        for page in range(1, 30):
            answer = self.http.get("/v1/activities", params=params | {"page": page}).raise_for_status().json()
            items += answer["items"]
            if not answer["has_more"]:
                return items
        raise AssertionError("there is no last page")


def _is_sound(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and bool(item["id"])
        and item["created_at"][0] == "2"
        and isinstance(item["payload"], dict)
    )


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    world = World(11, scale=0.1)
    api = Bent(create_app(world, api_key=KEY, now=lambda: NOW))
    headers = {"Authorization": f"Bearer {KEY}"}
    with serve(api) as address, httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=60) as http:
        yield Sandbox(api, world, address, http)


def _pipeline(sandbox: Sandbox, folder: Path, instance: dg.DagsterInstance, retries: Retries = QUICK) -> Pipeline:
    api_url = f"{sandbox.url}/v1"
    settings = Settings(_env_file=None, api_url=api_url, api_key=KEY, requests_per_second=10_000, concurrency=2)
    warehouse = Warehouse(str(folder / "topo.duckdb"))
    resources = {
        "topo": Topo(settings, lambda: NOW, retries),
        "warehouse": warehouse,
        "settings": settings,
        "clock": lambda: NOW,
    }
    return Pipeline(definitions.build(resources), instance, warehouse, sandbox.api, sandbox.world, api_url)


@pytest.fixture(scope="module")
def sound(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a warehouse in which the first day has landed, without any fault, and a Dagster home of no run."""
    folder = tmp_path_factory.mktemp("sound")
    sandbox.plan()
    with dg.DagsterInstance.ephemeral() as instance:
        assert _pipeline(sandbox, folder, instance).land([OLD]).problems == ()
    home = folder / "home"
    home.mkdir()
    shutil.copy(CHECKOUT / "topo_pipeline" / "dagster.yaml", home)
    dg.DagsterInstance.from_config(str(home)).dispose()
    return folder


@dataclass
class Stage:
    """Where a case is played: a warehouse that holds the first day, and a Dagster instance with files."""

    sandbox: Sandbox
    folder: Path
    instance: dg.DagsterInstance
    log: pytest.LogCaptureFixture
    printed: pytest.CaptureFixture[str]
    pipeline: Pipeline = field(init=False)

    def play(self, case: Case) -> tuple[Outcome, int]:
        """Read both days under the case's faults; return what came of it and the requests it took."""
        self.pipeline = _pipeline(self.sandbox, self.folder, self.instance, case.retries)
        self.sandbox.plan(*case.plan)
        before = self.sandbox.requests()
        outcome = self.pipeline.land(DAYS)
        return outcome, self.sandbox.requests() - before

    def everything_said(self) -> str:
        """All that is left of the runs: what was printed and logged, Dagster's records and files, the warehouse."""
        [*runs] = self.instance.get_runs()
        assert runs
        entries = [entry for run in runs for entry in self.instance.all_logs(run.run_id)]
        assert entries
        with self.pipeline.warehouse.reader() as connection:
            tables = connection.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
            rows = [connection.execute(f'FROM "{s}"."{t}"').fetchall() for s, t in tables]  # noqa: S608
        files = [path.read_bytes().decode("latin-1") for path in self.folder.rglob("*") if path.is_file()]
        said: list[Any] = [*self.printed.readouterr(), self.log.text, *(vars(record) for record in self.log.records)]
        said += [*((run, run.tags, run.run_config) for run in runs), *entries, *(entry.to_json() for entry in entries)]
        return "\n".join([*map(str, [*said, *rows, self.pipeline, self.pipeline.definitions.resources]), *files])


@pytest.fixture
def stage(
    sandbox: Sandbox,
    sound: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Stage]:
    caplog.set_level("INFO")
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        yield Stage(sandbox, tmp_path, instance, caplog, capfd)


def _landed(folder: Path) -> list[list[tuple[Any, ...]]]:
    tables = ("activities", "loads", "activity_changes", "rejects")
    with Warehouse(str(folder / "topo.duckdb")).reader() as connection:
        return [connection.execute(f"FROM topo.{table} ORDER BY ALL").fetchall() for table in tables]  # noqa: S608


def _assert_the_key_is_nowhere(stage: Stage) -> None:
    said = stage.everything_said().lower()
    assert "/v1/activities" in said  # the log of requests
    assert "topo__activities" in said  # Dagster's events
    assert CORE not in said


@pytest.mark.parametrize("case", LANDS.values(), ids=LANDS)
def test_under_a_fault_that_can_be_overcome_every_row_lands_once(case: Case, stage: Stage) -> None:
    outcome, requests = stage.play(case)
    _assert_the_key_is_nowhere(stage)
    assert outcome.problems == ()
    assert list(outcome.landed) == DAYS

    needed = 0
    for day in DAYS:
        truth = stage.sandbox.truth(case.plan, day)
        needed += -(-len(truth) // PAGE)
        sound = {item["id"]: item["payload"] for item in truth if _is_sound(item)}
        landed = stage.pipeline.rows(f"SELECT id::VARCHAR, payload FROM topo.activities WHERE day = '{day}'")  # noqa: S608
        assert len(landed) == len(sound)
        assert {id_: json.loads(payload) for id_, payload in landed} == sound
        rejects = stage.pipeline.rows(f"SELECT raw FROM topo.rejects WHERE day = '{day}'")  # noqa: S608
        unreadable = [item for item in truth if not _is_sound(item)]
        assert sorted(json.dumps(json.loads(raw)) for (raw,) in rejects) == sorted(map(json.dumps, unreadable))
        assert bool(unreadable) == case.unreadable
        start = datetime.combine(day, time(), UTC)
        simulated = stage.sandbox.world.activities(start - timedelta(milliseconds=1), start + timedelta(days=1))
        assert len(truth) == len(simulated) + case.added
        assert case.unreadable or {row.id for row in simulated} <= sound.keys()
        [(count, rows, rejected)] = stage.pipeline.rows(
            f"SELECT api_total_count, rows, rejects FROM topo.loads WHERE day = '{day}' AND run_id = '{_run_id(stage)}'"  # noqa: S608
        )
        assert (count, rows, rejected) == (len(truth), len(sound), len(unreadable))
    assert needed <= requests <= needed + case.overhead


def _run_id(stage: Stage) -> str:
    [run_id] = {run.run_id for run in stage.instance.get_runs()}
    return str(run_id)


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_under_a_fault_that_lasts_the_days_are_refused_and_left_as_they_were(case: Case, stage: Stage) -> None:
    before = _landed(stage.folder)
    outcome, requests = stage.play(case)
    _assert_the_key_is_nowhere(stage)
    assert outcome.landed == ()
    [problem] = outcome.problems
    assert "2 of 2 days did not land" in problem
    assert all(str(day) in problem for day in DAYS)
    assert all(part in problem for part in case.says), problem
    assert any(advice in problem for advice in ADVICE)
    assert "\n" not in problem
    assert _landed(stage.folder) == before
    assert requests <= PAGES + case.overhead
