"""A whole pipeline for a test: a small sandbox over real HTTP, a DuckDB file, a real Dagster instance."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import dagster as dg
import msgspec
import pytest

from topo_pipeline import definitions
from topo_pipeline.automation.facts import Request
from topo_pipeline.defs.requests import run_request
from topo_pipeline.defs.resources import Topo
from topo_pipeline.ingest import Clock
from topo_pipeline.report.previews import Seen
from topo_pipeline.runs import QUIET, Outcome, backfill
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.wire import Spelling
from topo_pipeline.sandbox.world import World
from topo_pipeline.settings import Settings
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.conftest import API_KEY

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
FIRST_DAY = date(2026, 3, 1)
ACTIVITIES = dg.AssetKey(["topo", "activities"])
WORLD = World(11, scale=0.1)  # one for all: what happened on a day is worked out once, and never changes


def days(count: int, first: date = FIRST_DAY) -> list[date]:
    return [first + timedelta(days=n) for n in range(count)]


LAST_DAYS = days(4, NOW.date() - timedelta(days=4))


@dataclass
class Bent:
    """The sandbox, bent: for `miscounted` days its total_count is one too high, so that no reading can be complete."""

    app: Callable[..., Any]
    miscounted: set[date] = field(default_factory=set)
    only_first: int | None = None
    """Where set, no more activities than these exist."""
    ignores: str | None = None
    """A parameter that is not listened to."""
    asked: list[str] = field(default_factory=list)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        query = parse_qs(scope.get("query_string", b"").decode())
        if self.ignores in query:
            heard = {name: values for name, values in query.items() if name != self.ignores}
            scope = {**scope, "query_string": urlencode(heard, doseq=True).encode()}
        end = query.get("created_at_before", [""])[0]
        wrong = any(end.startswith(f"{day + timedelta(days=1)}T00") for day in self.miscounted)
        if not scope["path"].endswith("/activities") or not (wrong or self.only_first):
            await self.app(scope, receive, send)
            return

        async def bend(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                kept = [header for header in message["headers"] if header[0].lower() != b"content-length"]
                await send({**message, "headers": kept})
            else:
                bent = self._bent(msgspec.json.decode(message["body"]), wrong)
                await send({**message, "body": msgspec.json.encode(bent)})  # else as the sandbox spells it

        await self.app(scope, receive, bend)

    def _bent(self, page: dict[str, Any], wrong: bool) -> dict[str, Any]:
        if self.only_first:
            items = page["items"][: self.only_first]
            return {"items": items, "total_count": len(items) + wrong, "total_pages": 1, "has_more": False}
        return {**page, "total_count": page["total_count"] + wrong}


@dataclass
class Pipeline:
    """One workspace, seen through Dagster."""

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    warehouse: Warehouse
    api: Bent
    world: World
    api_url: str

    def backfill(self, days: Sequence[date], may_shrink: Sequence[date] = ()) -> Outcome:
        return backfill(self.definitions, days, instance=self.instance, tell=lambda _: None, may_shrink=may_shrink)

    def land(self, days: Sequence[date], may_shrink: Sequence[date] = ()) -> Outcome:
        """As `backfill`, without the tables: they take most of a run's time, and have no say in what lands."""
        without = _without_tables(self.definitions)
        outcome = backfill(without, days, instance=self.instance, tell=lambda _: None, may_shrink=may_shrink)
        assert not (outcome.landed and outcome.problems), "where some days are refused, tables follow: backfill"
        return outcome

    def read(self, days: Sequence[date]) -> dg.ExecuteInProcessResult:
        """Read the days, from the first to the last, in a run of their own without the tables."""
        request = run_request(Request(days[0], days[-1], ""))
        return self.run(request)

    def run(self, request: dg.RunRequest, job: str = "refresh") -> dg.ExecuteInProcessResult:
        """What a schedule or a sensor asks for, done."""
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            asset_selection=request.asset_selection,
            tags=dict(request.tags),
            run_config=QUIET,
            raise_on_error=False,
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.warehouse.reader() as connection:
            return connection.execute(sql).fetchall()


def _without_tables(whole: dg.Definitions) -> dg.Definitions:
    return dg.Definitions(
        assets=[asset for asset in whole.assets or () if asset.key.path[0] == "topo"],
        asset_checks=[
            checks for checks in whole.asset_checks or () if all(k.asset_key == ACTIVITIES for k in checks.check_keys)
        ],
        jobs=whole.jobs,
        resources=whole.resources,
        executor=whole.executor,
    )


def last_check(
    pipeline: Pipeline, name: str = "every_day_is_proved", asset: dg.AssetKey = ACTIVITIES
) -> dg.AssetCheckEvaluation:
    """The last word of a check, from Dagster's own records."""
    key = dg.AssetCheckKey(asset, name)
    records = pipeline.instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
    evaluated = [record.event.dagster_event for record in records if record.event and record.event.dagster_event]
    return next(e.asset_check_evaluation_data for e in evaluated if e.event_type_value == "ASSET_CHECK_EVALUATION")


@contextmanager
def pipeline_over(
    folder: Path,
    api_key: str,
    *,
    key_used: str | None = None,
    clock: Clock = lambda: NOW,
    timezone: str = "UTC",
    is_persistent: bool = False,
    spelling: Spelling = "snake",
    draws: bool = False,
    **settings_changed: str,
) -> Iterator[Pipeline]:
    """A pipeline whose tables draw their charts only if it `draws`: that is most of the time that small tables take."""
    api = Bent(create_app(WORLD, api_key=api_key, now=clock, spelling=spelling))
    quiet = {"telemetry": {"enabled": False}}
    persistent = partial(dg.DagsterInstance.local_temp, str(folder), overrides=quiet)
    make = persistent if is_persistent else dg.DagsterInstance.ephemeral
    with serve(api) as address, make() as instance, pytest.MonkeyPatch.context() as patch:
        if not draws:
            patch.setattr(Seen, "picture", lambda _: None)
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
        resources = {
            "topo": Topo(settings, clock),
            "warehouse": warehouse,
            "settings": settings,
            "clock": clock,
        }
        yield Pipeline(definitions.build(resources), instance, warehouse, api, WORLD, api_url)


@pytest.fixture(scope="package")
def refreshed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The last four days, which one run has read and made every table of: to be looked at, and left as they are."""
    with pipeline_over(tmp_path_factory.mktemp("refreshed"), API_KEY, draws=True) as built:
        assert built.backfill(LAST_DAYS).problems == ()
        yield built


@pytest.fixture
def copied(refreshed: Pipeline, tmp_path: Path, api_key: str) -> Iterator[Pipeline]:
    """The same four days in a warehouse of the test's own; Dagster's records know nothing of them."""
    shutil.copy(refreshed.warehouse.path, tmp_path)
    with pipeline_over(tmp_path, api_key) as built:
        yield built


@pytest.fixture
def pipeline(tmp_path: Path, api_key: str) -> Iterator[Pipeline]:
    with pipeline_over(tmp_path, api_key) as built:
        yield built
