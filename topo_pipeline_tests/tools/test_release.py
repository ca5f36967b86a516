"""The commands of README that install: from a checkout, and from a wheel, of which `make release` checks more."""

import os
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tools.release import CHECKOUT
from topo_pipeline_tests.command_line import UNREACHABLE, run
from topo_pipeline_tests.pages import shell_lines_of, text_of

BIN = Path(sys.executable).parent


def shell(folder: Path, command: str, *programs: Path) -> "subprocess.CompletedProcess[str]":
    """Run commands with these folders of programs first, and without a setting of the tests."""
    unset = dict.fromkeys((*(name for name in os.environ if name.startswith(("TOPO_", "DAGSTER_"))), "TOPO_WAREHOUSE"))
    path = ":".join([*map(str, programs), os.environ["PATH"]])
    done = run(folder, "/bin/bash", "-e", "-c", command, **{**unset, "PATH": path})
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done


@pytest.mark.full
def test_a_checkout_is_installed_with_the_commands_of_the_readme(tmp_path: Path) -> None:
    lines = [*shell_lines_of("README.md")]
    install, activate, init = lines[lines.index("make install") :][:3]
    checkout = tmp_path / "checkout"
    aside = shutil.ignore_patterns(".*", "__pycache__", "data", "dist", "node_modules", "site")
    shutil.copytree(CHECKOUT, checkout, ignore=aside)
    shell(checkout, f"{install}\n{activate}\n{init}\ntopo-pipeline --version")
    assert (checkout / ".env").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a wheel in `dist`, built as README says."""
    folder = tmp_path_factory.mktemp("empty")
    hatchling = run(folder, str(BIN / "uvx"), "--refresh", "hatchling", "--help")
    if hatchling.returncode == UNREACHABLE:
        pytest.skip(f"the package index can't be reached: {hatchling.stderr}")
    [build] = [words for words in text_of("README.md").split("`") if "uv build" in words]
    shell(CHECKOUT, f"{build.removeprefix('.venv/bin/')} --out-dir {shlex.quote(str(folder / 'dist'))}", BIN)
    return folder


@pytest.mark.full
def test_a_wheel_works_in_an_empty_folder(folder: Path) -> None:
    """The newest versions are installed that it allows."""
    [demo, install, init] = [line for line in shell_lines_of("README.md") if ".whl" in line or "init /srv" in line]
    assert "Founders UK" in shell(folder, demo, BIN).stdout
    venv.create(folder / "venv", with_pip=True)
    shell(folder, f"{install}\n{init.replace('/srv/topo', 'srv')}", folder / "venv" / "bin")
    assert (folder / "srv" / "workspace.yaml").exists()


@pytest.mark.full
def test_the_oldest_versions_that_a_wheel_allows_work(folder: Path) -> None:
    [demo] = [line for line in shell_lines_of("README.md") if line.startswith("uvx ")]
    oldest = demo.replace("uvx ", "uvx --resolution lowest-direct ")
    assert "Founders UK" in shell(folder, oldest, BIN).stdout
