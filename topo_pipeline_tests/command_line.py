"""Run the command line in tests: in a new process, in a forked one, or in the test's process, which is fastest."""

import atexit
import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from unittest.mock import patch

import pytest

from topo_pipeline import definitions
from topo_pipeline.cli import app, console
from topo_pipeline.engagement import building
from topo_pipeline.orchestration import instance
from topo_pipeline.settings import get_settings
from topo_pipeline.templates import copy
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.dagster_storage import patch_storage
from topo_pipeline_tests.defs.only import LANDED, with_only
from topo_pipeline_tests.warehouse.processes import Child, import_too

UNREACHABLE = 2  # exit code of uvx if it can't reach the package index
COMMAND = str(Path(sys.executable).parent / "topo-pipeline")


def topo_pipeline(folder: Path, *arguments: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder` in its own process; a variable that is None is unset."""
    return run(folder, COMMAND, *arguments, **environment)


def run(folder: Path, *command: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Run any command in the same way."""
    return subprocess.run(  # noqa: S603
        command,
        cwd=folder,
        env=_environment(environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def answer(
    folder: Path, *arguments: str, tables: Collection[str] | None = None, **environment: str | None
) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, which saves the seconds that a new one takes to import Dagster.

    Its settings and definitions are made from the environment of the call, as in a new process. Partitions are not:
    they start on the tests' date, in the tests' zone. The report has no Vega, and tables have no comments: these take
    most of the time and have their own tests. The databases of a new Dagster home are copied, which takes a tenth of
    the time. If `tables` are given, a backfill builds only these, without checks.
    """
    with (
        _called_in(folder, _environment(environment), tables) as monkeypatch,
        tempfile.TemporaryFile("w+", encoding="utf-8") as stdout,
        tempfile.TemporaryFile("w+", encoding="utf-8") as stderr,
        Path(os.devnull).open(encoding="utf-8") as stdin,
    ):
        for name, stream in {"stdin": stdin, "stdout": stdout, "stderr": stderr}.items():
            monkeypatch.setattr(sys, name, stream)
        monkeypatch.setattr(sys, "argv", ["topo-pipeline"])
        monkeypatch.setattr(console.err, "_file", None)  # a backfill binds it to this call's stream
        monkeypatch.setattr(instance, "copy", _copy_with_databases)
        with pytest.raises(SystemExit) as end:
            app(arguments, prog_name="topo-pipeline")
        assert isinstance(end.value.code, int)
        return subprocess.CompletedProcess(arguments, end.value.code, _read(stdout), _read(stderr))


def _copy_with_databases(name: str, to: Path) -> None:
    if not any(to.parent.iterdir()):
        for folder in _new_home().iterdir():
            shutil.copytree(folder, to.parent / folder.name)
    copy(name, to)


@functools.cache
def _new_home() -> Path:
    """Return the databases of a new Dagster home."""
    home = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("DAGSTER_HOME", "")  # prepare sets it
        monkeypatch.setattr(instance, "copy", copy)
        instance.prepare(home)
    for file in ("dagster.yaml", "workspace.yaml"):
        (home / file).unlink()
    return home


class Forked(Child):
    """The command as in `answer`, but in a process of its own, which a test can interrupt."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        tables: Collection[str] | None = None,
        before: Callable[[], object] | None = None,
        **environment: str | None,
    ) -> None:
        """Start the command. Its process calls `before` first, which may change the process."""
        import_too(__name__)
        super().__init__(_run_forked, (folder, _environment(environment), tables), arguments, before)
        self.stderr = os.fdopen(os.dup(self.pipe.fileno()), "rb")

    @property
    def pid(self) -> int:
        assert self.process.pid
        return self.process.pid

    def read_until(self, words: str) -> None:
        """Read the error output up to a line with these words."""
        while words.encode() not in (line := self.stderr.readline()):
            assert line, "it ended"

    def end(self) -> tuple[int | None, str]:
        """Wait for the process to end, and return its exit code and the rest of its error output."""
        with self.stderr:
            rest = self.stderr.read().decode()
        return self.wait(), rest

    def kill(self) -> None:
        """End the process if it has not ended."""
        self.process.kill()
        self.stderr.close()
        self.wait()


def _run_forked(
    called_in: tuple[Path, dict[str, str], Collection[str] | None],
    arguments: Sequence[str],
    before: Callable[[], object] | None,
    pipe: Connection,
) -> None:
    os.dup2(pipe.fileno(), 2)
    pipe.close()
    with (
        _called_in(*called_in) as monkeypatch,
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        patch_storage(monkeypatch)
        if before:
            before()
        app(arguments, prog_name="topo-pipeline")


@contextmanager
def _called_in(
    folder: Path, environment: dict[str, str], tables: Collection[str] | None
) -> Iterator[pytest.MonkeyPatch]:
    with (
        patch.dict(os.environ, environment, clear=True),
        pytest.MonkeyPatch.context() as monkeypatch,
        _new_settings(monkeypatch, tables),
    ):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(building, "_comment", lambda *_: None)
        yield monkeypatch


def _environment(changes: dict[str, str | None]) -> dict[str, str]:
    defaults = {"TOPO_WAREHOUSE": "data/topo.duckdb", "TOPO_REQUESTS_PER_SECOND": "1000", "DAGSTER_HOME": None}
    merged = {**os.environ, **defaults, **changes}
    return {name: value for name, value in merged.items() if value is not None}


@contextmanager
def _new_settings(monkeypatch: pytest.MonkeyPatch, tables: Collection[str] | None) -> Iterator[None]:
    """Clear the settings that this process has read, and the definitions built from them."""

    def build(name: str) -> object:
        if name != "defs":
            raise AttributeError(name)
        built = definitions.build(get_settings())
        return built if tables is None else with_only(built, *LANDED, *tables)

    monkeypatch.delattr(definitions, "defs")
    monkeypatch.setattr(definitions, "__getattr__", build, raising=False)
    get_settings.cache_clear()
    try:
        yield
    finally:
        get_settings.cache_clear()


def _read(stream: "tempfile._TemporaryFileWrapper[str]") -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


def assert_one_sentence(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Check that the command failed with one error, without a traceback or the key.

    The error is a line, and further indented lines if it has details. It has all the words.
    """
    lines = result.stderr.splitlines()
    assert result.returncode != 0
    assert len([line for line in lines if line.startswith("topo-pipeline:")]) == 1, result.stderr
    error = [line for line in lines if line.startswith(("topo-pipeline:", "  "))]
    for word in words:
        assert word in " ".join(error)
    assert "Traceback" not in result.stdout + result.stderr
    assert os.environ["TOPO_API_KEY"] not in result.stdout + result.stderr
