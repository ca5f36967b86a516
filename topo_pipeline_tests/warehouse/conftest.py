import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina.instrumentation

from topo_pipeline.warehouse.connection import Warehouse

SetHook = Callable[[Callable[[], Any]], None]

# For the few tests that `make test` also runs on a lake. A transaction on a lake takes a fifth of a second.
ON_A_LAKE_TOO = pytest.mark.parametrize("warehouse", ["file", "lake"], indirect=True)


@pytest.fixture(params=["file", pytest.param("lake", marks=pytest.mark.full)])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """Return a warehouse that doesn't exist yet: a DuckDB file, and in `make test-all` also a DuckLake."""
    prefix = "ducklake:" if request.param == "lake" else ""
    return Warehouse(f"{prefix}{tmp_path / 'data' / 'topo.duckdb'}")


@pytest.fixture(scope="session")
def prepared_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "topo.duckdb"
    Warehouse(str(path)).prepare()
    return path


@pytest.fixture
def file_warehouse(tmp_path: Path, prepared_file: Path) -> Warehouse:
    """Return an empty DuckDB file, for tests in which a lake would behave the same."""
    return Warehouse(str(shutil.copy(prepared_file, tmp_path / "topo.duckdb")))


@pytest.fixture
def on_waiting() -> Iterator[SetHook]:
    """Set the function that is called each time this process is about to wait for the warehouse."""
    before = stamina.instrumentation.get_on_retry_hooks()
    yield lambda call: stamina.instrumentation.set_on_retry_hooks([lambda _: call()])
    stamina.instrumentation.set_on_retry_hooks(before)
