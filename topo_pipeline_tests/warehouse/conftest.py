import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import stamina.instrumentation

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.places import LakeStorage
from topo_pipeline_tests.conftest import PATIENCE

if TYPE_CHECKING:
    from topo_pipeline_tests.services.postgres import Database, Postgres


SetHook = Callable[[Callable[[], Any]], None]

# For the few tests that `make test` also runs on lakes. A transaction on a lake takes a fifth of a second.
ON_A_LAKE_TOO = pytest.mark.parametrize("on_disk", ["file", "lake"], indirect=True)
IN_EVERY_PLACE = pytest.mark.parametrize(
    "warehouse", ["file", pytest.param("lake", marks=pytest.mark.full), "shared"], indirect=True
)


@pytest.fixture(params=["file", pytest.param("lake", marks=pytest.mark.full)])
def on_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """Return a warehouse that doesn't exist yet: a DuckDB file, and in `make test-all` also a local lake."""
    return on_this_machine(request.param, tmp_path)


@pytest.fixture(params=["file", *(pytest.param(place, marks=pytest.mark.full) for place in ("lake", "shared"))])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """Return a warehouse that doesn't exist yet: a DuckDB file, and in `make test-all` also each kind of lake."""
    if request.param == "shared":
        return shared_lake(request.getfixturevalue("postgres_database"), tmp_path / "data")
    return on_this_machine(request.param, tmp_path)


@pytest.fixture
def new_shared(postgres_database: "Database", tmp_path: Path) -> Warehouse:
    """Return a shared lake that doesn't exist yet, with its files in a folder."""
    return shared_lake(postgres_database, tmp_path / "data")


@pytest.fixture(scope="session")
def prepared_lake(postgres: "Postgres", tmp_path_factory: pytest.TempPathFactory) -> "Iterator[tuple[Database, Path]]":
    """Create a shared lake, and yield its database and the folder of its files, to be copied."""
    with prepared_with(Warehouse.prepare, postgres, tmp_path_factory) as prepared:
        yield prepared


@pytest.fixture
def postgres_database(request: pytest.FixtureRequest, postgres: "Postgres") -> "Iterator[Database]":
    """Return a new database, which has the catalog of the prepared lake if the test uses `shared`."""
    copied = [request.getfixturevalue("prepared_lake")[0].name] if "shared" in request.fixturenames else []
    with postgres.database(*copied) as database:
        yield database


@pytest.fixture
def shared(
    new_shared: Warehouse, postgres_database: "Database", prepared_lake: "tuple[Database, Path]", tmp_path: Path
) -> Warehouse:
    """Return a shared lake with its files in a folder: a copy of the prepared one, as creating one takes a second."""
    shutil.copytree(prepared_lake[1], tmp_path / "data")
    moved = "UPDATE topo.ducklake_metadata SET value = replace(value, %s, %s) WHERE key = 'data_path'"
    with postgres_database.connect() as session:
        session.execute(moved, [str(prepared_lake[1]), str(tmp_path / "data")])
    return new_shared


@contextmanager
def prepared_with(
    prepare: Callable[[Warehouse], object], postgres: "Postgres", folders: pytest.TempPathFactory
) -> "Iterator[tuple[Database, Path]]":
    """Create a shared lake for `prepared_lake`. A module may have one of its own that is filled."""
    data = folders.mktemp("prepared") / "data"
    with postgres.database() as database:
        prepare(shared_lake(database, data))
        yield database, data


def on_this_machine(kind: str, folder: Path) -> Warehouse:
    prefix = "ducklake:" if kind == "lake" else ""
    return Warehouse(f"{prefix}{folder / 'data' / 'topo.duckdb'}")


def shared_lake(database: "Database", data_path: "Path | str", variables: Mapping[str, str] = {}) -> Warehouse:
    storage = LakeStorage(str(data_path), variables=variables)
    return Warehouse(f"ducklake:postgres:{database.dsn}", PATIENCE, storage)


@pytest.fixture(scope="module", autouse=True)
def _new_files() -> None:
    """Create new warehouses as in production."""


@pytest.fixture
def file_warehouse(tmp_path: Path, empty_file: Path) -> Warehouse:
    """Return an empty DuckDB file, for tests in which a lake would behave the same."""
    return Warehouse(str(shutil.copy(empty_file, tmp_path / "topo.duckdb")))


@pytest.fixture
def on_waiting() -> Iterator[SetHook]:
    """Set the function that is called each time this process is about to wait for the warehouse."""
    before = stamina.instrumentation.get_on_retry_hooks()
    yield lambda call: stamina.instrumentation.set_on_retry_hooks([lambda _: call()])
    stamina.instrumentation.set_on_retry_hooks(before)
