"""The commands `sequences`, `explain` and `compare`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.cli.conftest import NAME
from topo_pipeline_tests.command_line import COMMAND, answer, assert_one_sentence, run
from topo_pipeline_tests.conftest import PATIENCE


def command(folder: Path, *arguments: str) -> str:
    result = answer(folder, *arguments, TOPO_WAREHOUSE="topo.duckdb")
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_sequence_is_listed_with_its_numbers(landed: Path) -> None:
    shown = command(landed, "sequences")
    assert all(name in shown for name in (NAME, "Sequence 1", "Sequence 5"))
    rows = json.loads(command(landed, "sequences", "--json"))
    assert [row["touched"] for row in rows] == [9, 8, 7, 6, 5, 4]
    assert {row["rank"] for row in rows} == {None}
    assert rows[0].keys() >= {"sequence", "id", "status", "early_rate", "reply_rate", "signal"}


def test_a_sequence_is_explained_in_sentences_and_as_json(landed: Path) -> None:
    shown = command(landed, "explain", "sequence 3")
    assert shown.startswith("Sequence 3 (ACTIVE), as of the end of 2026-03-01")
    assert "Not known yet: no contact's 30 days are over." in shown
    found = json.loads(command(landed, "explain", "sequence 3", "--json"))
    assert (found["name"], found["last_day"]) == ("Sequence 3", "2026-03-01")
    assert found["parts"]["Reply rate"] in shown


@pytest.mark.parametrize(
    "arguments", [("explain", "sequence 3"), ("compare", "sequence 3", "sequence 4"), ("sequences",)]
)
def test_no_line_ends_in_spaces_in_a_pipe(landed: Path, arguments: tuple[str, ...]) -> None:
    lines = command(landed, *arguments).splitlines()
    assert lines == [line.rstrip() for line in lines]


def test_two_sequences_are_compared(landed: Path) -> None:
    assert "can't be compared" in command(landed, "compare", "sequence 3", "sequence 4", "--period", "28d")
    assert json.loads(command(landed, "compare", "sequence 3", "sequence 4", "--json"))["difference"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("explain", "nothing like it"), 1, "topo-pipeline sequences"),
        (("explain", "Sequense 3"), 1, "Did you mean: Sequence 3"),
        (("explain", "sequence"), 1, "5 sequences match"),
        (("compare", "sequence 3", "sequence 3"), 2, "same sequence"),
    ],
)
def test_an_unclear_name_is_one_sentence(landed: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    result = answer(landed, *arguments, TOPO_WAREHOUSE="topo.duckdb")
    assert result.returncode == code
    assert_one_sentence(result, says)


def test_without_tables_the_commands_say_how_to_build_them(tmp_path: Path) -> None:
    Warehouse(str(tmp_path / "topo.duckdb")).prepare()
    for arguments in (("sequences",), ("explain", "x"), ("compare", "x", "y")):
        result = answer(tmp_path, *arguments, TOPO_WAREHOUSE="topo.duckdb")
        assert result.returncode == 1
        assert_one_sentence(result, "topo-pipeline backfill")


def test_a_hostile_name_is_printed_without_control_characters(landed: Path) -> None:
    name = "\x1b[2J\x9b31m [bold]red \u202e"
    with Warehouse(str(landed / "topo.duckdb")).transaction() as connection:
        for table in ("sequence_summary", "sequence_signals"):
            connection.execute(
                f"UPDATE engagement.{table} SET sequence_name = ? WHERE sequence_name = 'Sequence 3'",  # noqa: S608
                [name],
            )
    for arguments in (
        ["sequences"],
        ["explain", "red"],
        ["compare", "red", "Sequence 2"],
        ["explain", "red", "--json"],
    ):
        shown = command(landed, *arguments)
        assert "[bold]red" in shown
        assert all(character.isprintable() or character == "\n" for character in shown)


def test_the_commands_do_not_import_dagster(landed: Path) -> None:
    """Importing it takes longer than everything else that they do."""
    code = "import sys; from topo_pipeline.cli import app; app(['sequences'], standalone_mode=False)"
    result = run(landed, sys.executable, "-c", f"{code}; print('dagster' in sys.modules)", TOPO_WAREHOUSE="topo.duckdb")
    assert result.stdout.endswith("\nFalse\n"), result.stderr


def test_a_closed_pipe_causes_no_traceback(landed: Path) -> None:
    """As in `topo-pipeline sequences | head`, when the reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(  # noqa: S603
        [COMMAND, "sequences"], cwd=landed, env={**os.environ, "TOPO_WAREHOUSE": "topo.duckdb"},
        stdout=writer, stderr=subprocess.PIPE, timeout=PATIENCE, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")
