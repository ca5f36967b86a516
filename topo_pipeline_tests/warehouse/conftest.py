import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina.instrumentation

from topo_pipeline.warehouse.connection import Warehouse

SetHook = Callable[[Callable[[], Any]], None]


@pytest.fixture(params=["file", "lake"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """A warehouse that is not there yet, once as a DuckDB file and once as a DuckLake."""
    prefix = "ducklake:" if request.param == "lake" else ""
    return Warehouse(f"{prefix}{tmp_path / 'data' / 'topo.duckdb'}")


@pytest.fixture(scope="session")
def prepared_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "topo.duckdb"
    Warehouse(str(path)).prepare()
    return path


@pytest.fixture
def file_warehouse(tmp_path: Path, prepared_file: Path) -> Warehouse:
    """An empty DuckDB file, for what the lake makes no difference to."""
    return Warehouse(str(shutil.copy(prepared_file, tmp_path / "topo.duckdb")))


@pytest.fixture
def on_waiting() -> Iterator[SetHook]:
    """Set what is called whenever somebody in this process found the warehouse taken and is about to wait."""
    before = stamina.instrumentation.get_on_retry_hooks()
    yield lambda call: stamina.instrumentation.set_on_retry_hooks([lambda _: call()])
    stamina.instrumentation.set_on_retry_hooks(before)
