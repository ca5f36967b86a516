"""A sandbox on loopback, and a client for it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World

KEY = "topo_loopback0123456789"
NOW = datetime(2026, 1, 21, 15, 0, tzinfo=UTC)
# For every client, as each would read the certificates for its own. No test uses them.
CLIENT: dict[str, Any] = {"trust_env": False, "timeout": 60, "verify": httpx.create_ssl_context()}


@dataclass
class Clock:
    """A clock that the test sets."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Api:
    """The API as a client sees it."""

    http: httpx.Client

    def page(self, path: str = "activities", **params: Any) -> dict[str, Any]:
        response = self.http.get(path, params=params)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    def pages(self, **params: Any) -> Iterator[dict[str, Any]]:
        number = 1
        while True:
            page = self.page(page=number, **params)
            yield page
            if not page["has_more"]:
                return
            number += 1

    def items(self, **params: Any) -> list[dict[str, Any]]:
        query = {"size": 100, "sort_by": "created_at", "sort_order": "asc"} | params
        return [item for page in self.pages(**query) for item in page["items"]]


@contextmanager
def open_api(world: World, **options: Any) -> Iterator[Api]:
    defaults: dict[str, Any] = {"api_key": KEY, "now": Clock()}
    app = create_app(world, **defaults | options)
    headers = {"Authorization": f"Bearer {KEY}"}
    with serve(app) as url, httpx.Client(base_url=f"{url}/v1", headers=headers, **CLIENT) as http:
        yield Api(http)


@pytest.fixture(scope="session")
def world() -> World:
    return World(scale=0.3)


@pytest.fixture(scope="session")
def api(world: World) -> Iterator[Api]:
    with open_api(world) as opened:
        yield opened


@pytest.fixture
def open_sandbox(world: World) -> Iterator[Callable[..., Api]]:
    with ExitStack() as stack:
        yield lambda world=world, **options: stack.enter_context(open_api(world, **options))


def day_window(day: date) -> dict[str, str]:
    """Return the bounds of a day, with a second more before its start."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {
        "created_at_after": (start - timedelta(seconds=1)).isoformat(),
        "created_at_before": (start + timedelta(days=1)).isoformat(),
    }
