"""Empty workspaces: a DuckDB file, a DuckLake, or each in turn."""

import shutil
from pathlib import Path

import pytest

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.engagement.helpers import Workspace


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of the newest schema, to be copied: quicker than to migrate one for each test."""
    path = tmp_path_factory.mktemp("empty") / "topo.duckdb"
    Warehouse(str(path)).prepare()
    return path


@pytest.fixture
def workspace(tmp_path: Path, empty_file: Path) -> Workspace:
    return Workspace(str(shutil.copy(empty_file, tmp_path)))


@pytest.fixture
def lake(tmp_path: Path) -> Workspace:
    return Workspace(f"ducklake:{tmp_path / 'lake.ducklake'}")


@pytest.fixture(params=["workspace", "lake"])
def anywhere(request: pytest.FixtureRequest) -> Workspace:
    """A test that asks for this one runs on a file and on a lake."""
    return request.getfixturevalue(request.param)
