"""Help and usage errors of every command."""

import re
import shlex
import sys
from importlib import metadata
from pathlib import Path

import pytest
from typer.main import get_command

from topo_pipeline.cli import app
from topo_pipeline_tests.command_line import COMMAND, answer, assert_one_sentence, run


def test_the_help_of_every_command_has_valid_examples() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined] # a group
    assert {"demo", "doctor", "status", "backfill", "report", "export", "restore", "forget"} <= commands.keys()
    for name, command in commands.items():
        shown = answer(Path(), name, "--help").stdout
        examples = [line for line in shown.splitlines() if line.startswith(f"    topo-pipeline {name}")]
        assert examples, name
        for example in examples:
            command.make_context(name, shlex.split(re.split("[|>]", example)[0])[2:])  # raises a usage error if invalid


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("bakcfill",), "Did you mean 'backfill'?"),
        (("explain",), "Missing argument 'SEQUENCE'"),
        (("backfill", "2026-03-01", "2026-03-02", "--dryrun"), "--dry-run"),
        (("sandbox", "--port", "http"), "Invalid value for '--port'"),
    ],
)
def test_a_usage_error_is_one_plain_line(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    result = answer(tmp_path, *arguments)
    assert result.returncode == 2
    [error] = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert says in error
    assert result.stderr.isascii()  # no box around it


def test_the_version_is_that_of_the_installed_package() -> None:
    assert answer(Path(), "--version").stdout == f"topo-pipeline {metadata.version('topo-pipeline')}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_completes_commands(tmp_path: Path, shell: str) -> None:
    """The shell asks the command itself, which names what fits what was typed so far."""
    typed = {"COMP_WORDS": "topo-pipeline back", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "topo-pipeline back"}
    asked = {"_TOPO_PIPELINE_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    completed = answer(tmp_path, **typed, **asked).stdout
    assert "backfill" in completed
    assert "backup" in completed
    assert "doctor" not in completed


def test_bash_completes_commands_after_the_installation_of_completion(tmp_path: Path) -> None:
    installed = run(tmp_path, "/bin/bash", "-c", f"{COMMAND} --install-completion; exit $?", HOME=str(tmp_path))
    assert installed.returncode == 0, installed.stderr
    ask = "source .bashrc; complete -p topo-pipeline"
    assert run(tmp_path, "/bin/bash", "-c", ask, HOME=str(tmp_path)).stdout.startswith("complete ")


def test_help_imports_neither_dagster_nor_duckdb() -> None:
    """Importing them takes seconds."""
    slow = {"dagster", "duckdb", "pandas", "pydantic_settings"}
    code = f"import sys; from topo_pipeline.cli import app; print({slow} & sys.modules.keys())"
    assert run(Path(), sys.executable, "-c", code).stdout == "set()\n"


def test_a_misspelled_quirk_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    result = answer(tmp_path, "sandbox", "--quirk", "bounds_inclusiv")
    assert result.returncode == 2
    assert_one_sentence(result, "bounds_inclusiv", "bounds_inclusive")
