"""A whole pipeline for a test: a small sandbox over real HTTP, a DuckDB file, a real Dagster instance."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from topo_pipeline import definitions
from topo_pipeline.defs.resources import Topo
from topo_pipeline.runs import Outcome, backfill
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.settings import Settings
from topo_pipeline.warehouse.connection import Warehouse

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
FIRST_DAY = date(2026, 3, 1)
ACTIVITIES = dg.AssetKey(["topo", "activities"])


def days(count: int, first: date = FIRST_DAY) -> list[date]:
    return [first + timedelta(days=n) for n in range(count)]


@dataclass
class Miscounted:
    """The sandbox, but for the days named in `days` its total_count is one too high: no reading can be complete."""

    app: Callable[..., Any]
    days: set[date] = field(default_factory=set)
    requests: int = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.requests += 1
        query = scope.get("query_string", b"").decode()
        ends = (day + timedelta(days=1) for day in self.days)
        if not any(f"created_at_before={end}T00" in query for end in ends):
            await self.app(scope, receive, send)
            return

        async def miscount(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                kept = [header for header in message["headers"] if header[0].lower() != b"content-length"]
                message = {**message, "headers": kept}
            else:
                page = json.loads(message["body"])
                message = {**message, "body": json.dumps({**page, "total_count": page["total_count"] + 1}).encode()}
            await send(message)

        await self.app(scope, receive, miscount)


@dataclass
class Pipeline:
    """One workspace, seen through Dagster."""

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    warehouse: Warehouse
    api: Miscounted
    world: World
    api_url: str

    def backfill(self, days: Sequence[date]) -> Outcome:
        return backfill(self.definitions, days, instance=self.instance, tell=lambda _: None)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.warehouse.reader() as connection:
            return connection.execute(sql).fetchall()


@contextmanager
def pipeline_over(
    folder: Path, api_key: str, *, key_used: str | None = None, now: datetime = NOW
) -> Iterator[Pipeline]:
    world = World(11, scale=0.1)
    api = Miscounted(create_app(world, api_key=api_key, now=lambda: now))
    with serve(api) as address, dg.DagsterInstance.ephemeral() as instance:
        api_url = f"{address}/v1"
        settings = Settings(
            _env_file=None, api_url=api_url, api_key=key_used or api_key, requests_per_second=10_000, concurrency=2
        )
        warehouse = Warehouse(str(folder / "topo.duckdb"))
        resources = {
            "topo": Topo(settings, lambda: now),
            "warehouse": warehouse,
            "settings": settings,
            "clock": lambda: now,
        }
        yield Pipeline(definitions.build(resources), instance, warehouse, api, world, api_url)


@pytest.fixture
def pipeline(tmp_path: Path, api_key: str) -> Iterator[Pipeline]:
    with pipeline_over(tmp_path, api_key) as built:
        yield built
