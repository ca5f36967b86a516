"""Every fault of the sandbox, over real HTTP: a day lands completely, or is refused and not changed.

A landed day and a new one are read with each fault, by `load_days` and by a Dagster run. The key is never in anything
that is printed, logged, recorded or stored.
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
from topo_pipeline.defs.partitions import day_of
from topo_pipeline.defs.resources import Topo
from topo_pipeline.ingest.lists import load_list
from topo_pipeline.ingest.loading import Refusal, load_days
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.settings import Settings
from topo_pipeline.topo_api.client import Retries
from topo_pipeline.topo_api.wire import SequenceTemplate
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.conftest import CHECKOUT, PATIENCE
from topo_pipeline_tests.defs.conftest import DAILY, NOW, AlteredSandbox, Pipeline
from topo_pipeline_tests.defs.fault_cases import ADVICE, CORE, ECHOES, KEY, LANDS, OPTIONAL, PAGES, REFUSED, Case
from topo_pipeline_tests.defs.only import LANDED
from topo_pipeline_tests.engagement.helpers import made_of
from topo_pipeline_tests.warehouse.builders import path_of

OLD, NEW = date(2026, 3, 2), date(2026, 3, 3)
DAYS = [OLD, NEW]
PAGE = 100
LASTING = {"crowd", "appearing", "vanishing", "unknown", "nulls", "unreadable"}
"""Faults in the source's data, not in its transmission."""


@dataclass
class Sandbox:
    """The faulty API, and the tests' own access to it."""

    api: AlteredSandbox
    world: World
    url: str
    http: httpx.Client
    truths: dict[tuple[str, date], list[Any]] = field(default_factory=dict)

    def plan(self, *faults: dict[str, Any]) -> None:
        """Set the faults that apply from now on."""
        self.http.put("/faults", json=faults).raise_for_status()

    def requests(self) -> int:
        """Return the number of requests for activities so far."""
        return self.api.requested.count("/v1/activities")

    def truth(self, plan: list[dict[str, Any]], day: date) -> list[Any]:
        """Return the items that the source shows of a day in the end; read until they no longer change."""
        lasting = [fault for fault in plan if fault["kind"] in LASTING]
        self.plan(*lasting)
        known = json.dumps(lasting), day
        if known not in self.truths:
            reading, before = self._items(day), None
            while reading != before:
                reading, before = self._items(day), reading
            self.truths[known] = reading
        return self.truths[known]

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


def _is_readable(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and bool(item["id"])
        and item["created_at"][0] == "2"
        and isinstance(item["payload"], dict)
    )


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    world = World(11, scale=0.1)
    api = AlteredSandbox(create_app(world, api_key=KEY, now=lambda: NOW))
    headers = {"Authorization": f"Bearer {KEY}"}
    with (
        serve(api) as address,
        httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=PATIENCE) as http,
    ):
        yield Sandbox(api, world, address, http)


@dataclass(frozen=True)
class Outcome:
    """The result of reading both days: those that landed, the messages about the others, the number of requests."""

    landed: list[date]
    messages: str
    requests: int


@dataclass
class Loader:
    """A warehouse that contains the first day; `load_days` reads both days, without Dagster."""

    sandbox: Sandbox
    folder: Path
    log: pytest.LogCaptureFixture
    printed: pytest.CaptureFixture[str]

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(str(self.folder / "topo.duckdb"))

    def run_case(self, case: Case) -> Outcome:
        """Read both days with the faults of the case."""
        self.sandbox.plan(*case.plan)
        before = self.sandbox.requests()
        landed, messages = self.read(self.topo(case.retries))
        return Outcome(landed, messages, self.sandbox.requests() - before)

    def topo(self, retries: Retries) -> Topo:
        api_url = f"{self.sandbox.url}/v1"
        settings = Settings(_env_file=None, api_url=api_url, api_key=KEY, requests_per_second=10_000, concurrency=2)
        return Topo(settings, lambda: NOW, retries)

    def read(self, topo: Topo) -> tuple[list[date], str]:
        """Read both days; return those that landed, and the messages about the others."""
        days = [day_of(str(day), DAILY) for day in DAYS]
        terms: dict[str, Any] = {"run_id": RUN, "clock": lambda: NOW, "timezone": "UTC"}
        outcomes = list(load_days(topo.client, self.warehouse, days, **terms))
        landed = [outcome.day for outcome in outcomes if isinstance(outcome, Load)]
        return landed, "; ".join(f"{o.day}: {o.reason}" for o in outcomes if isinstance(o, Refusal))

    def rows(self, *sql: str) -> list[list[tuple[Any, ...]]]:
        """The rows of each statement."""
        with self.warehouse.reader() as connection:
            return [connection.execute(statement).fetchall() for statement in sql]

    def recorded(self) -> list[Any]:
        """Return everything that was printed and logged, and every row of the warehouse."""
        [tables] = self.rows("SELECT schema_name, table_name FROM duckdb_tables()")
        rows = self.rows(*(f'FROM "{schema}"."{table}"' for schema, table in tables))
        return [*self.printed.readouterr(), self.log.text, *(vars(record) for record in self.log.records), *rows]

    def all_output(self) -> str:
        """Return everything recorded and the content of every file."""
        files = [path.read_bytes().decode("latin-1") for path in self.folder.rglob("*") if path.is_file()]
        return "\n".join([*map(str, self.recorded()), *files])


@dataclass
class DagsterLoader(Loader):
    """The same with a Dagster run that reads the days; its instance has its files in the same folder."""

    instance: dg.DagsterInstance

    def read(self, topo: Topo) -> tuple[list[date], str]:
        outcome = self.pipeline(topo).land(DAYS)
        assert len(outcome.problems) <= 1
        if not outcome.problems:
            return list(outcome.landed), ""
        first, *reasons, last = outcome.problems[0].splitlines()
        assert first == "2 of 2 days did not land."
        assert len(reasons) <= len(DAYS)  # a response adds no line
        assert last == f"To try again: topo-pipeline backfill {DAYS[0]} {DAYS[-1]}"
        return list(outcome.landed), " ".join(reasons)

    def pipeline(self, topo: Topo) -> Pipeline:
        """Return the pipeline with this resource."""
        return Pipeline(
            definitions.build(topo.settings, clock=lambda: NOW, topo=topo, warehouse=self.warehouse),
            self.instance,
            self.warehouse,
            self.sandbox.api,
            self.sandbox.world,
            topo.settings.api_url,
        )

    def recorded(self) -> list[Any]:
        runs = self.instance.get_runs()
        entries = [entry for run in runs for entry in self.instance.all_logs(run.run_id)]
        assert any("topo__activities" in entry.to_json() for entry in entries)
        about = [(run, run.tags, run.run_config) for run in runs]
        return [*super().recorded(), *about, *entries, *(entry.to_json() for entry in entries)]


RUN = "a run"
ALSO_ELSEWHERE = {
    "more than a page of ties, in another order in each request",
    "three pages of rows with one timestamp",
    "rows with one timestamp that no page shows",
    # part of "everything at once"
    "rate limits",
    "resets before and during the body",
    "ties in another order in each request",
    "ids on two pages",
    "unknown types, channels and fields",
    # topo_api/test_repair.py and test_client.py test them
    "one wrong count",
    "rate limits with an invalid Retry-After",
    "rate limits with other statuses",
    "a body shorter than its length",
    "bodies shorter than their length",
    "a truncated body with a matching length",
    "errors with a gateway's page",
    "resets during the body",
    "a missing scope",
    "a rejected request",
    "a rate limit with the status of a missing scope",
    # the test of optional calls lands the days too
    *(f"optional calls: {name}" for name in OPTIONAL),
}


@pytest.fixture(scope="module")
def first_day(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse in which the first day landed without faults."""
    folder = tmp_path_factory.mktemp("first")
    sandbox.plan()
    settings = Settings(_env_file=None, api_url=f"{sandbox.url}/v1", api_key=KEY, requests_per_second=10_000)
    warehouse = Warehouse(str(folder / "topo.duckdb"))
    [load] = load_days(
        Topo(settings, lambda: NOW).client,
        warehouse,
        [day_of(str(OLD), DAILY)],
        run_id="before",
        clock=lambda: NOW,
        timezone="UTC",
    )
    assert isinstance(load, Load)
    return path_of(warehouse)


@pytest.fixture(scope="module")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Dagster home without runs."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(CHECKOUT / "topo_pipeline" / "templates" / "dagster.yaml", home)
    dg.DagsterInstance.from_config(str(home)).dispose()
    return home


@pytest.fixture
def loader(
    request: pytest.FixtureRequest,
    sandbox: Sandbox,
    first_day: Path,
    tmp_path: Path,
) -> Iterator[Loader]:
    """A loader of the class that is the test's parameter."""
    caplog, capfd = request.getfixturevalue("caplog"), request.getfixturevalue("capfd")
    caplog.set_level("INFO")
    shutil.copy(first_day, tmp_path)
    if request.param is Loader:
        yield Loader(sandbox, tmp_path, caplog, capfd)
        return
    home = shutil.copytree(request.getfixturevalue("empty_home"), tmp_path / "home")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield DagsterLoader(sandbox, tmp_path, caplog, capfd, instance)


def _each(
    cases: dict[str, Case], *in_dagster: str, kinds: tuple[type[Loader], ...] = (Loader, DagsterLoader)
) -> pytest.MarkDecorator:
    """Parametrize with these cases in Dagster, and with each other case without Dagster.

    The reverse is full. So are cases that wait, and those that are also tested elsewhere.
    """
    return pytest.mark.parametrize(
        ("case", "loader"),
        [
            pytest.param(case, kind, id=f"{name}-{kind.__name__}", marks=pytest.mark.full if is_full else ())
            for name, case in cases.items()
            for kind in kinds
            for is_full in [case.waits or name in ALSO_ELSEWHERE or (kind is DagsterLoader) != (name in in_dagster)]
        ],
        indirect=["loader"],
    )


def _landed(loader: Loader) -> list[list[tuple[Any, ...]]]:
    tables = ("activities", "loads", "activity_changes", "rejects")
    return loader.rows(*(f"FROM topo.{table} ORDER BY ALL" for table in tables))


def _assert_the_key_is_not_leaked(loader: Loader) -> None:
    messages = loader.all_output().lower()
    assert "http request: " in messages  # the log is included
    assert CORE not in messages


@_each(LANDS, "everything at once")
def test_with_a_recoverable_fault_every_row_lands_once(case: Case, loader: Loader) -> None:
    outcome = loader.run_case(case)
    _assert_the_key_is_not_leaked(loader)
    assert (outcome.messages, outcome.landed) == ("", DAYS)

    needed = 0
    for day in DAYS:
        truth = loader.sandbox.truth(case.plan, day)
        needed += -(-len(truth) // PAGE)
        readable = {item["id"]: item["payload"] for item in truth if _is_readable(item)}
        landed, rejects, [last_load] = loader.rows(
            f"SELECT id::VARCHAR, payload FROM topo.activities WHERE day = '{day}'",  # noqa: S608
            f"SELECT raw FROM topo.rejects WHERE day = '{day}'",  # noqa: S608
            f"SELECT api_total_count, rows, rejects FROM landed_days WHERE day = '{day}'",  # noqa: S608
        )
        unreadable = [item for item in truth if not _is_readable(item)]
        start = datetime.combine(day, time(), UTC)
        simulated = loader.sandbox.world.activities(start - timedelta(milliseconds=1), start + timedelta(days=1))
        # On the day that landed before, a row that comes back unreadable with a readable id stays as it was.
        had = {row.id for row in simulated} if day == OLD else set()
        kept = had & {item["id"] for item in unreadable if isinstance(item, dict)}
        assert sorted(id_ for id_, _ in landed) == sorted(readable.keys() | kept)
        assert {id_: json.loads(payload) for id_, payload in landed if id_ not in kept} == readable
        assert sorted(json.dumps(json.loads(raw)) for (raw,) in rejects) == sorted(map(json.dumps, unreadable))
        assert bool(unreadable) == case.unreadable
        assert len(truth) == len(simulated) + case.added
        assert case.unreadable or {row.id for row in simulated} <= readable.keys()
        assert last_load == (len(truth), len(readable) + len(kept), len(unreadable))
    assert needed + ECHOES <= outcome.requests <= needed + ECHOES + case.overhead


@_each(REFUSED, "the key in a gateway's page, in every encoding")
def test_with_a_lasting_fault_the_days_are_refused_and_not_changed(case: Case, loader: Loader) -> None:
    before = _landed(loader)
    outcome = loader.run_case(case)
    _assert_the_key_is_not_leaked(loader)
    assert outcome.landed == []
    assert all(str(day) in outcome.messages for day in DAYS)
    assert all(part in outcome.messages for part in case.says), outcome.messages
    assert any(advice in outcome.messages for advice in ADVICE)
    assert "\n" not in outcome.messages
    assert _landed(loader) == before
    assert outcome.requests <= PAGES + case.overhead


@_each(OPTIONAL, "a reset", kinds=(DagsterLoader,))
def test_with_a_fault_in_optional_calls_tables_are_built_and_names_stay(case: Case, loader: DagsterLoader) -> None:
    topo = loader.topo(case.retries)
    loader.sandbox.plan()
    [template] = loader.sandbox.http.get("/v1/sequence-templates", params={"size": 1}).json()["items"]
    load_list(topo.client, loader.warehouse, SequenceTemplate, "sequence_templates", clock=lambda: NOW)
    loader.sandbox.plan(*case.plan)
    loader.log.clear()

    outcome = loader.pipeline(topo).only(*LANDED, *made_of("sequence_daily")).backfill(DAYS)

    assert (list(outcome.problems), list(outcome.landed)) == ([], DAYS)
    [daily, names] = loader.rows(
        "FROM engagement.sequence_daily", "SELECT id::VARCHAR, name FROM topo.sequence_templates"
    )
    assert daily
    assert (template["id"], template["name"]) in names
    messages = [record.getMessage() for record in loader.log.records if record.name == "topo_pipeline.topo_api.client"]
    assert [message.rpartition("Continuing without ")[2].partition(":")[0] for message in messages] == [
        "knowing whose key this is",
        "the names of sequences",
    ]
