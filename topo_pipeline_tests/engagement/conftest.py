"""Empty workspaces: a DuckDB file, a DuckLake, or each in turn."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from topo_pipeline.warehouse.places import LakeStorage
from topo_pipeline_tests.engagement.helpers import Workspace, with_threads, without_comments

# The tests of these modules look at the comments of tables and columns.
COMMENTED = {"test_catalogue", "test_golden_example"}
# The worlds of these modules are large enough for DuckDB to use several threads.
LARGE = {"test_cohort_worlds"}


@pytest.fixture(scope="module", autouse=True)
def _builds(request: pytest.FixtureRequest) -> Iterator[None]:
    with ExitStack() as held:
        if request.path.stem not in COMMENTED:
            held.enter_context(without_comments())
        if request.path.stem in LARGE:
            held.enter_context(with_threads())
        yield


@pytest.fixture
def uncommented() -> Iterator[None]:
    with without_comments():
        yield


if TYPE_CHECKING:
    from topo_pipeline_tests.services.postgres import Database


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
    return together.of_case(_case_of(request))


@pytest.fixture
def case_later(request: pytest.FixtureRequest, later: Workspace) -> Workspace:
    """The same in the module's fixture `later`, a copy of `together` in which days were read again: to look at."""
    return later.of_case(_case_of(request))


def _case_of(request: pytest.FixtureRequest) -> str:
    name: str = getattr(request, "param", None) or request.module.cases.of(request.function.__name__)
    return name


@pytest.fixture
def lake(tmp_path: Path) -> Workspace:
    return Workspace(f"ducklake:{tmp_path / 'lake.ducklake'}")


@pytest.fixture
def shared_lake(tmp_path: Path, postgres_database: "Database") -> Workspace:
    return Workspace(f"ducklake:postgres:{postgres_database.dsn}", storage=LakeStorage(str(tmp_path / "data")))


@pytest.fixture(params=["workspace", *(pytest.param(lake, marks=pytest.mark.full) for lake in ("lake", "shared_lake"))])
def anywhere(request: pytest.FixtureRequest) -> Workspace:
    """A test that asks for this one runs on a file and on each kind of lake."""
    return request.getfixturevalue(request.param)
