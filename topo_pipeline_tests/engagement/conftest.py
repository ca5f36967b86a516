"""Empty workspaces: a DuckDB file, a DuckLake, or each in turn."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.engagement.helpers import Workspace

# The tests of these modules look at the comments of tables and columns.
COMMENTED = {"test_catalogue", "test_golden_example"}


@pytest.fixture(scope="module", autouse=True)
def _without_comments(request: pytest.FixtureRequest) -> Iterator[None]:
    """Build tables without their 900 comments, which take a third of the time of a build."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.stem not in COMMENTED:
            patch.setattr("topo_pipeline.engagement.tables._comment", lambda *_: None)
        yield


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of the newest schema, to be copied: quicker than to migrate one for each test."""
    path = tmp_path_factory.mktemp("empty") / "topo.duckdb"
    Warehouse(str(path)).prepare()
    return path


@pytest.fixture
def workspace(tmp_path: Path, empty_file: Path) -> Workspace:
    return Workspace(str(shutil.copy(empty_file, tmp_path)))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, empty_file: Path) -> Workspace:
    """For the module's fixture `together`, which lands and builds in it what `cases` of the module hold."""
    return Workspace(str(shutil.copy(empty_file, tmp_path_factory.mktemp("shared"))))


@pytest.fixture
def case(request: pytest.FixtureRequest, together: Workspace) -> Workspace:
    """The test's case in the workspace that the module's tests share: to look at, never to change."""
    name: str = getattr(request, "param", None) or request.module.cases.of(request.function.__name__)
    return together.of_case(name)


@pytest.fixture
def lake(tmp_path: Path) -> Workspace:
    return Workspace(f"ducklake:{tmp_path / 'lake.ducklake'}")


@pytest.fixture(params=["workspace", pytest.param("lake", marks=pytest.mark.full)])
def anywhere(request: pytest.FixtureRequest) -> Workspace:
    """A test that asks for this one runs on a file and on a lake."""
    return request.getfixturevalue(request.param)
