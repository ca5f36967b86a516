"""The command line as the tests run it: in a process of its own, or in theirs where no run would begin."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import topo_pipeline.definitions  # noqa: F401 - its settings are those of the tests, whatever a command is told
from topo_pipeline.cli import app
from topo_pipeline.settings import get_settings

WHERE_IT_STANDS = str(Path(sys.executable).parent / "topo-pipeline")


def topo_pipeline(folder: Path, *arguments: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder` as a newcomer would; a variable that is None is unset."""
    return run(folder, WHERE_IT_STANDS, *arguments, **environment)


def run(folder: Path, *command: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Run any command so."""
    base = {**os.environ, **_told(environment)}
    return subprocess.run(  # noqa: S603
        command,
        cwd=folder,
        env={name: value for name, value in base.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def answer(folder: Path, *arguments: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """As `topo_pipeline`, in this process, which has imported everything: for a command that ends before any run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in _told(environment).items():
            if value is None:
                patch.delenv(name, raising=False)
            else:
                patch.setenv(name, value)
        get_settings.cache_clear()
        try:
            result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        finally:
            get_settings.cache_clear()
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


def _told(environment: dict[str, str | None]) -> dict[str, str | None]:
    return {"TOPO_WAREHOUSE": "data/topo.duckdb", "DAGSTER_HOME": None, **environment}


def assert_one_sentence(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Whoever meets the error reads one line, without a traceback, that says what to do."""
    said = [line for line in result.stderr.splitlines() if line.startswith("topo-pipeline:")]
    assert result.returncode != 0
    assert len(said) == 1, result.stderr
    for word in words:
        assert word in said[0]
    assert "Traceback" not in result.stdout + result.stderr
    assert os.environ["TOPO_API_KEY"] not in result.stdout + result.stderr
