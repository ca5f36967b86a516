"""The wheel works without a checkout, with README's commands. `make release` checks more of it."""

import os
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tools.release import CHECKOUT
from topo_pipeline_tests.command_line import run
from topo_pipeline_tests.pages import shell_lines_of, text_of
from topo_pipeline_tests.tools.test_bi import UNREACHABLE

BIN = Path(sys.executable).parent


@pytest.mark.full
def test_a_wheel_shows_the_demo_and_sets_up_a_workspace_in_an_empty_folder(tmp_path: Path) -> None:
    [build] = [words for words in text_of("README.md").split("`") if "uv build" in words]
    [demo, install, init] = [line for line in shell_lines_of("README.md") if ".whl" in line or "init /srv" in line]
    empty = tmp_path / "empty"
    venv.create(empty / "venv", with_pip=True)
    _, *words = shlex.split(build)
    built = run(CHECKOUT, str(BIN / "uv"), *words, "--out-dir", str(empty / "dist"))
    if built.returncode == UNREACHABLE:
        pytest.skip(f"the build requirements could not be downloaded: {built.stderr}")
    assert built.returncode == 0, built.stderr

    ours = dict.fromkeys(name for name in os.environ if name.startswith(("TOPO_", "DAGSTER_")))
    path = f"{empty / 'venv' / 'bin'}:{BIN}:{os.environ['PATH']}"

    def shell(command: str) -> "subprocess.CompletedProcess[str]":
        done = run(empty, "/bin/bash", "-c", command, **{**ours, "TOPO_WAREHOUSE": None, "PATH": path})
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done

    assert "Founders UK" in shell(demo).stdout
    shell(install)
    shell(init.replace("/srv/topo", "srv"))
    assert (empty / "srv" / "workspace.yaml").exists()
