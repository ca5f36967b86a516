"""What every command has in common: its help, and one sentence about what is mistyped."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from topo_pipeline.cli import app
from topo_pipeline_tests.command_line import answer, assert_one_sentence, run


def test_every_command_says_how_it_is_used_with_examples_that_it_understands() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined] # a group
    assert {"demo", "doctor", "status", "backfill", "report", "export", "restore", "forget"} <= commands.keys()
    for name, command in commands.items():
        said = answer(Path(), name, "--help").stdout
        examples = [line for line in said.splitlines() if line.startswith(f"    topo-pipeline {name}")]
        assert examples, name
        for example in examples:
            command.make_context(name, shlex.split(re.split("[|>]", example)[0])[2:])  # or raises what a person is told


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("bakcfill",), "Did you mean 'backfill'?"),
        (("backfill", "2026-03-01"), "Missing argument 'TO'"),
        (("backfill", "2026-03-01", "2026-03-02", "--dryrun"), "--dry-run"),
        (("sandbox", "--port", "http"), "Invalid value for '--port'"),
    ],
)
def test_what_is_mistyped_is_told_in_one_plain_sentence(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    result = answer(tmp_path, *arguments)
    assert result.returncode == 2
    [error] = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert says in error
    assert result.stderr.isascii()  # no box around it


def test_help_waits_for_neither_dagster_nor_the_warehouse() -> None:
    """What loads them takes seconds."""
    told = "import sys; from topo_pipeline.cli import app; print({'dagster', 'duckdb', 'pandas'} & sys.modules.keys())"
    assert run(Path(), sys.executable, "-c", told).stdout == "set()\n"


def test_a_slip_in_the_name_of_a_quirk_is_met_before_anything_is_served(tmp_path: Path) -> None:
    result = answer(tmp_path, "sandbox", "--quirk", "bounds_inclusiv")
    assert result.returncode == 2
    assert_one_sentence(result, "bounds_inclusiv", "bounds_inclusive")
