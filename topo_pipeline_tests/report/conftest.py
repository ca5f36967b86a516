"""Workspaces and their reports, built once for many tests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report.page import Published, publish
from topo_pipeline_tests.conftest import made_once
from topo_pipeline_tests.engagement.helpers import (
    Activity,
    Workspace,
    enrolled,
    march,
    replied,
    sent,
    without_comments,
)
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


def built(folders: pytest.TempPathFactory, name: str, build: Callable[[Workspace], object]) -> Workspace:
    """Return a workspace that `build` lands and builds, in the first of the test processes that needs it."""

    def make(file: Path) -> None:
        workspace = Workspace(str(file))
        build(workspace)
        with without_comments():
            _ = workspace.warehouse  # makes the tables

    return Workspace(str(made_once(folders, name, make)))


def reported(workspace: Workspace, happened: list[Activity]) -> Reported:
    return Reported(workspace, happened, report(workspace, Path(workspace.target).with_name("report")))


@pytest.fixture(scope="module", autouse=True)
def _without_comments() -> Iterator[None]:
    """Build tables without their comments, which the report doesn't use."""
    with without_comments():
        yield


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """More sequences than fit on a screen, the first of them with hostile names."""
    workspace = built(tmp_path_factory, "many", lambda new: worlds.land(new, worlds.SEQUENCES, worlds.HOSTILE))
    return reported(workspace, list(worlds.activities(worlds.SEQUENCES)))


@pytest.fixture(scope="session")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Four sequences with enough contacts to be compared, and two without."""
    happened = [each for name, size in SIZES.items() for each in cohort(name, *size)]

    def build(workspace: Workspace) -> None:
        workspace.land_all(happened, *DAYS)
        workspace.name(**{name: f"Sequence {name} 2026" for name in SIZES})
        workspace.build()

    return reported(built(tmp_path_factory, "rated", build), happened)


@pytest.fixture(scope="session")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Forty contacts of one sequence within three days."""
    happened = [
        *(did for n in range(40) for did in (enrolled(march(2, 8), f"{n}"), sent(march(2 + n % 3), f"{n}"))),
        *(replied(march(4, 15), f"{n}", category="INTERESTED") for n in range(2)),
    ]

    def build(workspace: Workspace) -> None:
        workspace.land_all(happened)
        workspace.build()

    return reported(built(tmp_path_factory, "three_days", build), happened)


@pytest.fixture(scope="session")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One day without activities."""

    def build(workspace: Workspace) -> None:
        workspace.land(march(2).date())
        workspace.build()

    return built(tmp_path_factory, "quiet", build)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Tables of no day."""
    return built(tmp_path_factory, "empty", Workspace.build)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "topo.duckdb"))
