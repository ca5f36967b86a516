"""A folder for doctor to examine, and a sandbox API."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from topo_pipeline import doctor
from topo_pipeline.doctor import Finding, examine
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.settings import get_settings
from topo_pipeline_tests.conftest import API_KEY

Examine = Callable[..., dict[str, Finding]]


def now() -> datetime:
    """The clock of doctor and of the API."""
    return datetime.now(UTC)


@pytest.fixture(scope="session")
def world() -> World:
    return World(11, scale=0.1)


@pytest.fixture(scope="session")
def api_url(world: World) -> Iterator[str]:
    with serving(world) as address:
        yield address


@contextmanager
def serving(world: World, **options: Any) -> Iterator[str]:
    with serve(create_app(world, api_key=API_KEY, now=now, **options)) as address:
        yield f"{address}/v1"


@pytest.fixture
def finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api_url: str) -> Iterator[Examine]:
    """Run doctor in the test's folder with these variables; a variable that is None is unset."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "_PATIENCE", 0.01)
    defaults = {"TOPO_API_URL": api_url, "TOPO_WAREHOUSE": "topo.duckdb", "DAGSTER_HOME": str(tmp_path / "home")}

    def examine_with(clock: Callable[[], datetime] = now, **variables: str | None) -> dict[str, Finding]:
        for name, value in {**defaults, **variables}.items():
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
        get_settings.cache_clear()
        found = examine(clock)
        assert API_KEY not in str(found)
        return {finding.check: finding for finding in found}

    yield examine_with
    get_settings.cache_clear()
