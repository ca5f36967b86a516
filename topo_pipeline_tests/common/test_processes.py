"""What a process runs, in the words of a message."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from topo_pipeline.common.processes import program_of

WAITS = "import sys; print('started', flush=True); sys.stdin.read()"
# As Dagster's code server starts a run. The run prints its own process id, because the server knows it before the run
# has a command line.
PACKAGE = """
import os, signal
def run():
    print(os.getpid(), flush=True)
    signal.pause()
"""
CODE_SERVER = """
import multiprocessing, sys
from dagster import run
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=run)
    process.start()
    sys.stdin.read()
    process.kill()
"""


@contextmanager
def running(*command: str, **environment: str) -> Iterator[tuple[int, str]]:
    """Run a program until the block ends. Yield its process and the first line that it prints."""
    with subprocess.Popen(  # noqa: S603
        command, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.pid, process.stdout.readline()
        process.communicate()


def test_a_script_is_named_without_its_arguments_and_a_command_of_ours_with_its_name(tmp_path: Path) -> None:
    for name in ("topo-pipeline", "other.py"):
        (tmp_path / name).write_text(WAITS)
    for script, first, says in (
        ("topo-pipeline", "backfill", "topo-pipeline backfill"),
        ("topo-pipeline", "--name=secret", "topo-pipeline"),
        ("other.py", "backfill", "other.py"),
    ):
        with running(sys.executable, str(tmp_path / script), first, "topo_secret") as (process, _):
            assert program_of(process) == says


@pytest.mark.parametrize("command", [["-c", WAITS, "topo_secret"], ["-u", "-c", WAITS, "topo_secret"]])
def test_code_on_the_command_line_is_not_quoted(command: list[str]) -> None:
    with running(sys.executable, *command) as (process, _):
        assert program_of(process) == "python"


def test_a_run_and_the_code_server_that_started_it_have_different_names(tmp_path: Path) -> None:
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "__init__.py").write_text(PACKAGE)
    (tmp_path / "dagster" / "__main__.py").write_text(CODE_SERVER)
    with running(sys.executable, "-m", "dagster", "api", "grpc", PYTHONPATH=str(tmp_path)) as (process, run):
        assert program_of(process) == "Dagster's code server"
        assert program_of(int(run)) == "a Dagster run"


def test_a_process_that_has_ended_is_unknown() -> None:
    with running(sys.executable, "-c", WAITS) as (process, _):
        pass
    assert program_of(process) is None
