import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from topo_pipeline.sandbox.server import serve
from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.crashes.children import load
from topo_pipeline_tests.crashes.day_checks import read_all
from topo_pipeline_tests.crashes.source import NEW, OLD
from topo_pipeline_tests.warehouse.processes import Child


@pytest.fixture(scope="package")
def old_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a warehouse with the old version of the days, to copy."""
    path = tmp_path_factory.mktemp("old") / "topo.duckdb"
    with serve(OLD.app()) as address:
        assert all(isinstance(outcome, Load) for outcome in read_all(path, f"{address}/v1", OLD, "1 old"))
    return path


@pytest.fixture(scope="package")
def new_api() -> Iterator[str]:
    """Yield the address of an API with the new version of the days."""
    with serve(NEW.app()) as address:
        yield f"{address}/v1"


@pytest.fixture(scope="package")
def points(old_warehouse: Path, new_api: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return all operations of a load that is not killed, in order."""
    target = shutil.copy(old_warehouse, tmp_path_factory.mktemp("dry"))
    child = Child(load, target, new_api, NEW.now, None)
    names = child.receive_all()
    assert child.wait() == 0
    return names


@pytest.fixture
def target(old_warehouse: Path, tmp_path: Path) -> str:
    """Return the path of a warehouse with the old version of the days."""
    return str(shutil.copy(old_warehouse, tmp_path))
