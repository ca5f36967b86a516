"""Doctor's check of file permissions."""

import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from topo_pipeline.orchestration.instance import prepare
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.doctor.conftest import Examine
from topo_pipeline_tests.limits import umask


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """All private files, created with a umask of 0."""
    monkeypatch.setenv("DAGSTER_HOME", "")  # prepare sets it; this restores it afterwards
    with umask(0):
        Warehouse(str(tmp_path / "topo.duckdb")).prepare()
        prepare(tmp_path / "home")
        (tmp_path / ".env").write_text("TOPO_CONCURRENCY=2")
    (tmp_path / ".env").chmod(0o600)
    return {"file": tmp_path / "topo.duckdb", "home": tmp_path / "home", ".env": tmp_path / ".env"}


def test_files_that_the_pipeline_creates_are_private(finds: Examine, private: dict[str, Path]) -> None:
    assert private
    assert finds()["permissions"].level == "ok"


@pytest.mark.parametrize(("name", "mode"), [("file", 0o640), ("home", 0o755), (".env", 0o644)])
def test_a_file_that_others_can_read_is_reported_with_the_command_that_fixes_it(
    finds: Examine, private: dict[str, Path], name: str, mode: int
) -> None:
    path = private[name]
    path.chmod(mode)
    found = finds()["permissions"]
    assert found.level == "warning"
    assert f"{path.name} has mode {mode:o}" in found.found
    assert stat.S_IMODE(path.stat().st_mode) == mode  # doctor doesn't change it
    subprocess.run(shlex.split(found.do.removeprefix("Run: ")), check=True)  # noqa: S603
    assert finds()["permissions"].level == "ok"
