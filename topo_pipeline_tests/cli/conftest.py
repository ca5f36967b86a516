"""Folders to run commands in."""

import shutil
from pathlib import Path

import pytest

from topo_pipeline_tests.conftest import made_once
from topo_pipeline_tests.engagement.helpers import TABLES, Workspace, begun, without_comments
from topo_pipeline_tests.maintenance import conftest as maintenance_conftest
from topo_pipeline_tests.maintenance.test_forget import HERS, HIS

built = maintenance_conftest.built
ROWS = len(HERS) + len(HIS)
NAME = "Łódź [bold] with a name that is longer than any column of eighty would have room for, to the end"


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    """A working folder with a space, a quote and an emoji in its name."""
    folder = tmp_path / "it's \U0001f600 here"
    (folder / "data").mkdir(parents=True)
    shutil.copy(built, folder / "data" / "topo.duckdb")
    return folder


def workspace(folder: Path) -> Workspace:
    return Workspace(str(folder / "data" / "topo.duckdb"))


@pytest.fixture(scope="session")
def six_sequences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with six sequences, one of which has a long name with special characters."""

    def make(file: Path) -> None:
        workspace = Workspace(str(file))
        names = {f"sequence {n}": f"Sequence {n}" for n in range(6)} | {"sequence 0": NAME}
        workspace.land_all([activity for n, name in enumerate(names) for activity in begun(name, 1, runs=9 - n)])
        workspace.name(**names)
        with without_comments():
            workspace.build(*TABLES)
        _ = workspace.warehouse  # makes the tables

    return made_once(tmp_path_factory, "six_sequences", make)


@pytest.fixture
def landed(six_sequences: Path, tmp_path: Path) -> Path:
    """A folder with a copy of that warehouse."""
    shutil.copy(six_sequences, tmp_path)
    return tmp_path


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
