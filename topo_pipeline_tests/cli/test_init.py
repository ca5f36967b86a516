"""The command `init`, and the installed package without a checkout."""

import os
import stat
import sys
import zipfile
from pathlib import Path

import pytest
from dotenv import dotenv_values

from tools.release import build, checklist, wheel_from
from topo_pipeline_tests.command_line import answer, assert_one_sentence, run
from topo_pipeline_tests.conftest import CHECKOUT

WRITTEN = {".env", "workspace.yaml", "dg.toml", ".dagster"}


def test_init_writes_what_dagsters_own_commands_need(tmp_path: Path) -> None:
    folder = tmp_path / "my workspace"
    done = answer(tmp_path, "init", str(folder))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir()} == WRITTEN
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    set_values = {name: value for name, value in dotenv_values(folder / ".env").items() if value}
    assert set_values == {"DAGSTER_HOME": str(folder / ".dagster")}
    assert "default_limit: 1" in (folder / ".dagster" / "dagster.yaml").read_text()


def test_init_keeps_files_that_exist(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TOPO_API_KEY=topo_mine\n")
    (tmp_path / "pyproject.toml").write_text("[tool.dg]\ndirectory_type = 'project'\n")  # dg takes only one of both
    done = answer(tmp_path, "init")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".env").read_text() == "TOPO_API_KEY=topo_mine\n"
    assert not (tmp_path / "dg.toml").exists()
    assert "workspace.yaml, .dagster" in done.stdout
    again = answer(tmp_path, "init")
    assert_one_sentence(again, f"{tmp_path} has .env, workspace.yaml, .dagster already. Nothing was changed.")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("dagster", "definitions", "validate", "-w", "workspace.yaml"), marks=pytest.mark.full),
        ("dg", "list", "defs", "--json"),
    ],
)
def test_dagsters_own_commands_load_the_definitions_in_the_new_folder(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert answer(tmp_path, "init").returncode == 0
    program, *arguments = command
    inherited = {name: None for name in os.environ if name.startswith(("TOPO_", "DAGSTER_"))}
    done = run(tmp_path, str(Path(sys.executable).parent / program), *arguments, **inherited)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the wheel and the source distribution."""
    return build(tmp_path_factory.mktemp("dist"))


def test_the_steps_of_a_release_are_those_of_contributing() -> None:
    assert checklist().startswith("1. In CHANGELOG.md")
    assert "make release" in checklist()


def test_the_source_distribution_builds_the_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    wheel, source = built
    assert wheel_from(source, tmp_path).read_bytes() == wheel.read_bytes()


def test_the_wheel_has_what_the_command_line_needs_without_a_checkout(built: tuple[Path, Path], tmp_path: Path) -> None:
    wheel, _ = built
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    files = {
        file for file in (CHECKOUT / "topo_pipeline").rglob("*") if file.is_file() and "__pycache__" not in file.parts
    }
    docs = "topo_pipeline/docs/metrics.md"  # which the pages of the tables in Dagster link to
    assert {name for name in names if ".dist-info" not in name} == {
        docs, *(str(file.relative_to(CHECKOUT)) for file in files)
    }  # fmt: skip
    code = (
        "import sys; from topo_pipeline.cli import app; from topo_pipeline.defs.metric_tables import DOCS;"
        " print(DOCS); app(sys.argv[1:])"
    )
    there = {"PYTHONPATH": str(tmp_path / "installed"), "PYTHONSAFEPATH": "1"}
    (tmp_path / "empty").mkdir()
    done = run(tmp_path / "empty", sys.executable, "-c", code, "init", **there)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "empty").iterdir()} == WRITTEN
    assert done.stdout.splitlines()[0] == str(tmp_path / "installed" / docs)


def test_a_folder_that_cannot_be_created_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_one_sentence(answer(tmp_path, "init", "file/folder"), "Not a directory: file/folder")
