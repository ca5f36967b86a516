"""Workspaces and their reports, built once for many tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report.page import Published, publish
from topo_pipeline_tests.conftest import made_once
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, without_comments
from topo_pipeline_tests.engagement.test_comparison import DAYS, SIZES, cohort
from topo_pipeline_tests.report import worlds


@dataclass(frozen=True)
class Reported:
    """A workspace, what happened in it, and the report of it."""

    workspace: Workspace
    happened: list[Activity]
    published: Published

    @property
    def page(self) -> str:
        return self.published.path.read_text(encoding="utf-8")


def report(workspace: Workspace, folder: Path, zone: str = "UTC", now: datetime = worlds.NOW) -> Published:
    with workspace.warehouse.reader() as connection:
        return publish(connection, folder, timezone=zone, rules=DEFAULT_RULES, now=now)


def reported(file: Path, happened: list[Activity]) -> Reported:
    workspace = Workspace(str(file))
    return Reported(workspace, happened, report(workspace, file.with_name("report")))


@pytest.fixture(scope="module", autouse=True)
def _without_comments() -> Iterator[None]:
    """Build tables without their comments, which the report doesn't use."""
    with without_comments():
        yield


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """More sequences than fit on a screen, the first of them with hostile names."""

    def make(file: Path) -> None:
        workspace = Workspace(str(file))
        worlds.land(workspace, worlds.SEQUENCES, worlds.HOSTILE)
        _ = workspace.warehouse  # makes the tables

    return reported(made_once(tmp_path_factory, "many", make), list(worlds.activities(worlds.SEQUENCES)))


@pytest.fixture(scope="session")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Four sequences with enough contacts to be compared, and two without."""
    happened = [each for name, size in SIZES.items() for each in cohort(name, *size)]

    def make(file: Path) -> None:
        workspace = Workspace(str(file))
        workspace.land_all(happened, *DAYS)
        workspace.name(**{name: f"Sequence {name} 2026" for name in SIZES})
        workspace.build()
        _ = workspace.warehouse

    return reported(made_once(tmp_path_factory, "rated", make), happened)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "topo.duckdb"))
