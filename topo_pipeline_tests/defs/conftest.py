"""A complete pipeline for a test: a small sandbox over real HTTP, a DuckDB file and a real Dagster instance."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import dagster as dg
import msgspec
import pytest

from topo_pipeline import definitions
from topo_pipeline.automation.facts import Request
from topo_pipeline.days import Clock
from topo_pipeline.defs.jobs import run_request
from topo_pipeline.defs.partitions import daily_partitions
from topo_pipeline.defs.sensors import tables_follow
from topo_pipeline.engagement.building import build
from topo_pipeline.engagement.tables import in_order
from topo_pipeline.orchestration.ranged_runs import QUIET, Outcome, backfill
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.wire import Spelling
from topo_pipeline.sandbox.world import World
from topo_pipeline.settings import Settings, get_settings
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.conftest import API_KEY, made_once
from topo_pipeline_tests.defs.in_memory import patch_in_memory_storage
from topo_pipeline_tests.defs.only import LANDED, with_only
from topo_pipeline_tests.warehouse.builders import path_of

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
FIRST_DAY = date(2026, 3, 1)
SETTINGS = get_settings()
DAILY = daily_partitions(SETTINGS)
ACTIVITIES = dg.AssetKey(["topo", "activities"])
BY_DAY = dg.AssetKey(["engagement", "sequence_activity"])
LIST_ASSETS = [dg.AssetKey(["topo", "sequence_templates"])]
WORLD = World(11, scale=0.1)  # shared: it computes each day once, and its days never change


def days(count: int, first: date = FIRST_DAY) -> list[date]:
    return [first + timedelta(days=n) for n in range(count)]


LAST_DAYS = days(4, NOW.date() - timedelta(days=4))
SOME = ("sequence_activity", "sequence_runs", "sequence_daily")
"""A table that is built by day, one that is not, and one that reads both."""


@pytest.fixture(scope="module", autouse=True)
def _quick_instances() -> Iterator[None]:
    """Patch Dagster for the modules of this folder only, so that other tests don't depend on the order."""
    with pytest.MonkeyPatch.context() as patch:
        patch_in_memory_storage(patch)
        yield


@dataclass
class AlteredSandbox:
    """The sandbox, altered: on `miscounted` days total_count is one too high, so that they can't be proved."""

    app: Callable[..., Any]
    miscounted: set[date] = field(default_factory=set)
    only_first: int | None = None
    """If set, only this many activities exist."""
    ignores: str | None = None
    """A query parameter that is ignored."""
    requested: list[str] = field(default_factory=list)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.requested.append(scope["path"])
        query = parse_qs(scope.get("query_string", b"").decode())
        if self.ignores in query:
            others = {name: values for name, values in query.items() if name != self.ignores}
            scope = {**scope, "query_string": urlencode(others, doseq=True).encode()}
        end = query.get("created_at_before", [""])[0]
        wrong = any(end.startswith(f"{day + timedelta(days=1)}T00") for day in self.miscounted)
        if not scope["path"].endswith("/activities") or not (wrong or self.only_first):
            await self.app(scope, receive, send)
            return

        async def alter(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                kept = [header for header in message["headers"] if header[0].lower() != b"content-length"]
                await send({**message, "headers": kept})
            else:
                altered = self._altered(msgspec.json.decode(message["body"]), wrong)
                await send({**message, "body": msgspec.json.encode(altered)})

        await self.app(scope, receive, alter)

    def _altered(self, page: dict[str, Any], wrong: bool) -> dict[str, Any]:
        if self.only_first:
            items = page["items"][: self.only_first]
            return {"items": items, "total_count": len(items) + wrong, "total_pages": 1, "has_more": False}
        return {**page, "total_count": page["total_count"] + wrong}


@dataclass
class Pipeline:
    """One workspace in Dagster."""

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    warehouse: Warehouse
    api: AlteredSandbox
    world: World
    api_url: str
    parts: dict[tuple[object, ...], "Pipeline"] = field(default_factory=dict)

    def only(self, *assets: str, checked: bool = False) -> "Pipeline":
        """Return the workspace with only these assets, and with their checks only if `checked`."""
        if (assets, checked) not in self.parts:  # Dagster resolves each part's jobs once
            definitions = with_only(self.definitions, *assets, checked=checked)
            self.parts[assets, checked] = replace(self, definitions=definitions, parts={})
        return self.parts[assets, checked]

    def unchecked(self) -> "Pipeline":
        """Return the workspace without checks."""
        return self.only(*(asset.key.path[-1] for asset in self.definitions.assets or ()))

    def backfill(self, days: Sequence[date], may_shrink: Sequence[date] = ()) -> Outcome:
        return backfill(
            self.definitions, days, instance=self.instance, on_progress=lambda _: None, may_shrink=may_shrink
        )

    def land(self, days: Sequence[date], may_shrink: Sequence[date] = ()) -> Outcome:
        """Backfill without tables and checks, which take most of a run's time and don't affect what lands."""
        outcome = self.only(*LANDED).backfill(days, may_shrink)
        assert not (outcome.landed and outcome.problems), "some days were refused, so tables follow: use backfill()"
        return outcome

    def read(self, days: Sequence[date], *, checked: bool = False) -> dg.ExecuteInProcessResult:
        """Read the days from the first to the last in a run of the activities alone."""
        request = run_request(Request(days[0], days[-1], ""), SETTINGS)
        return self.only("activities", checked=checked).run(request)

    def run(self, request: dg.RunRequest, job: str = "refresh", **config: Any) -> dg.ExecuteInProcessResult:
        """Execute the run that a schedule or sensor requests."""
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            asset_selection=request.asset_selection,
            tags=dict(request.tags),
            run_config=QUIET | config,
            raise_on_error=False,
        )

    def follow_up(self, cursors: list[str | None] | None = None) -> dg.RunRequest | None:
        """Return what `tables_follow_what_landed` requests now of this workspace's tables."""
        request = follow_up(self.instance, (self.definitions.resources or {})["settings"], cursors)
        keys = {asset.key for asset in self.definitions.assets or ()}
        selected = [key for key in (request.asset_selection or () if request else ()) if key in keys]
        return dg.RunRequest(asset_selection=selected, tags=request.tags) if request and selected else None

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.warehouse.reader() as connection:
            return connection.execute(sql).fetchall()


def follow_up(
    instance: dg.DagsterInstance, settings: Settings = SETTINGS, cursors: list[str | None] | None = None
) -> dg.RunRequest | None:
    """Run a tick of `tables_follow_what_landed`, and return the run that it requests.

    Its cursor is the last of `cursors`, to which the new one is added. Without them, each tick is the first one.
    """
    cursor = cursors[-1] if cursors else None
    with dg.build_sensor_context(instance, cursor=cursor, resources={"settings": settings}) as context:
        tick = tables_follow.evaluate_tick(context)
    requests = tick.run_requests
    if cursors is not None:
        cursors.append(tick.cursor)
    assert len(requests or ()) <= 1
    return requests[0] if requests else None


def last_check(
    pipeline: Pipeline, name: str = "every_day_is_proved", asset: dg.AssetKey = ACTIVITIES
) -> dg.AssetCheckEvaluation:
    """Return the latest evaluation of a check from Dagster's records."""
    key = dg.AssetCheckKey(asset, name)
    records = pipeline.instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
    evaluated = [record.event.dagster_event for record in records if record.event and record.event.dagster_event]
    return next(e.asset_check_evaluation_data for e in evaluated if e.event_type_value == "ASSET_CHECK_EVALUATION")


def latest_metadata(pipeline: Pipeline, *path: str, day: object = None) -> dict[str, object]:
    """Return the metadata of an asset's latest materialization from Dagster's records."""
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(path), asset_partitions=[str(day)] if day else None)
    [record] = pipeline.instance.fetch_materializations(wanted, limit=1).records
    assert record.asset_materialization is not None
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def instance_of(home: Path) -> dg.DagsterInstance:
    return dg.DagsterInstance.local_temp(str(home), overrides={"telemetry": {"enabled": False}})


@contextmanager
def pipeline_over(
    folder: Path,
    api_key: str,
    *,
    key_used: str | None = None,
    clock: Clock = lambda: NOW,
    timezone: str = "UTC",
    home: Path | None = None,
    spelling: Spelling = "snake",
    **settings_changed: str,
) -> Iterator[Pipeline]:
    """Yield a pipeline with a warehouse in this folder; its Dagster instance is in memory unless `home` is given."""
    api = AlteredSandbox(create_app(WORLD, api_key=api_key, now=clock, spelling=spelling))
    with serve(api) as address, instance_of(home) if home else dg.DagsterInstance.ephemeral() as instance:
        api_url = f"{address}/v1"
        settings = Settings(
            _env_file=None,
            api_url=api_url,
            api_key=key_used or api_key,
            timezone=timezone,
            requests_per_second=10_000,
            concurrency=2,
            **settings_changed,
        )
        warehouse = Warehouse(str(folder / "topo.duckdb"))
        built = definitions.build(settings, clock=clock, warehouse=warehouse)
        yield Pipeline(built, instance, warehouse, api, WORLD, api_url)


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Dagster home without runs, to be copied, because creating one is slow."""
    home = tmp_path_factory.mktemp("home")
    instance_of(home).dispose()
    return home


@contextmanager
def unchanged(shared: Pipeline) -> Iterator[None]:
    """Fail a test that changes a shared pipeline: its events, its warehouse or the requests of its API."""

    def state() -> tuple[object, ...]:
        file, storage = path_of(shared.warehouse).stat(), shared.instance.event_log_storage
        return storage.get_maximum_record_id(), list(shared.api.requested), file.st_mtime_ns, file.st_size

    before = state()
    yield
    assert state() == before, "this test changed a shared pipeline: it needs one of its own"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with the last four days and every table, built without Dagster, to be copied."""

    def make(file: Path) -> None:
        with pipeline_over(file.parent, API_KEY) as landed:
            assert landed.land(LAST_DAYS).problems == ()
            with landed.warehouse.transaction() as connection:
                for table in in_order():
                    build(connection, table, timezone="UTC", now=NOW, days=LAST_DAYS if table.is_daily else ())
            path_of(landed.warehouse).rename(file)

    return made_once(tmp_path_factory, "last_days", make)


@pytest.fixture
def copied(built: Path, tmp_path: Path, api_key: str) -> Iterator[Pipeline]:
    """A pipeline with a copy of that warehouse; Dagster has no records of its days."""
    shutil.copy(built, tmp_path)
    with pipeline_over(tmp_path, api_key) as pipeline:
        yield pipeline


@pytest.fixture
def pipeline(tmp_path: Path, api_key: str) -> Iterator[Pipeline]:
    with pipeline_over(tmp_path, api_key) as built:
        yield built


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral
