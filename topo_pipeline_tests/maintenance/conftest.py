"""Fixtures of the tests of `warehouse`, and a warehouse with every table."""

from pathlib import Path

import pytest

from topo_pipeline_tests.conftest import made_once
from topo_pipeline_tests.maintenance.test_forget import HERS, HIS, workspace_in
from topo_pipeline_tests.warehouse.conftest import (
    file_warehouse,
    new_shared,
    on_disk,
    on_waiting,
    postgres_database,
    prepared_lake,
    shared,
    warehouse,
)

__all__ = [
    "file_warehouse", "new_shared", "on_disk", "on_waiting", "postgres_database", "prepared_lake",
    "shared", "warehouse",
]  # fmt: skip


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of Ada and Bob with every table, to be copied."""
    return made_once(tmp_path_factory, "ada_and_bob", lambda file: workspace_in(str(file), [*HERS, *HIS]))
