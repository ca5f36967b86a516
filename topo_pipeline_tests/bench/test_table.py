"""`make bench`: what a row shows, what a row that fails does, and which lines are written."""

import re
import sys
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.pairs import Size
from bench.rows import ROWS
from bench.table import PAGE, Measured, Row, run, write
from topo_pipeline_tests.command_line import run as run_command
from topo_pipeline_tests.conftest import CHECKOUT

BOUNDED = [row for row in ROWS if row.bounds]


def _gives(*values: float) -> Row:
    return Row("1", "some work", lambda _: ("measured", values), "≤ {}× wall, ≤ {}× CPU", (1.5, 2))


def _fails(_: Size) -> Measured:
    raise RuntimeError("`bench.reading` exited with 1: no | connection\n")


@pytest.mark.parametrize(
    ("values", "at_least", "verdict"),
    [
        ((1.5, 2), False, "met"),
        ((1.51, 1), False, "**missed**"),
        ((1, 2.01), False, "**missed**"),
        ((1.5, 2), True, "met"),
        ((9, 1.99), True, "**missed**"),
    ],
)
def test_a_row_is_met_if_all_of_its_values_are_within_their_bounds(
    values: tuple[float, ...], at_least: bool, verdict: str
) -> None:
    row = Row("1", "some work", lambda _: ("measured", values), "{} and {}", (1.5, 2), at_least=at_least)
    assert str(row.run(Size())) == f"| 1 | some work | 1.5 and 2 | measured | {verdict} |"


def test_a_row_that_measures_another_number_of_values_than_it_has_bounds_fails() -> None:
    assert _gives(1).run(Size()).has_failed


def test_a_row_that_fails_shows_the_error_in_one_cell_and_the_next_rows_are_measured() -> None:
    failed, measured = run([Row("1", "some work", _fails, "≤ {}×", (1.5,)), _gives(1, 1)], Size())
    assert str(failed).count(" | ") == 4
    assert "could not be measured: `bench.reading` exited with 1: no" in str(failed)
    assert "**failed**" in str(failed)
    assert str(measured).endswith("| met |")


def test_the_command_exits_with_1_if_a_row_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.__main__.ROWS", [_gives(9, 9)])
    assert main(["--scale", "0.1"]) == 0
    monkeypatch.setattr("bench.__main__.ROWS", [Row("1", "some work", _fails), _gives(1, 1)])
    assert main(["--scale", "0.1"]) == 1


@pytest.mark.parametrize(("arguments", "is_written"), [([], True), (["--scale", "0.1"], False), (["1"], False)])
def test_the_page_is_written_if_all_rows_are_measured_in_full(
    arguments: list[str], is_written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr("bench.__main__.ROWS", [_gives(1, 1)])
    monkeypatch.setattr("bench.__main__.PAGE", page)
    main(arguments)
    assert ("| 1 | some work |" in page.read_text(encoding="utf-8")) is is_written


def test_only_the_lines_between_the_marks_are_replaced(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    waited = Row("first_run", "the first run", lambda _: ("a minute", ()))
    for _ in range(2):  # what was written is replaced like any other lines
        write(page, [waited.run(Size()), _gives(1, 1).run(Size())], Size(), minutes=3)
    before, _, rest = page.read_text(encoding="utf-8").partition("<!-- written")
    written, _, after = rest.partition("<!-- until")
    assert written.count("| the first run | a minute |") == written.count("| 1 | some work |") == 1
    was = PAGE.read_text(encoding="utf-8")
    assert was.startswith(before)
    assert was.endswith(after)


def test_the_page_has_every_row_with_its_target() -> None:
    shown = re.findall(r"^\| (\d+) \| (.*?) \| (.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert shown == [(row.name, row.work, row.target.format(*row.bounds)) for row in BOUNDED]
    assert [row.name for row in BOUNDED] == [str(number) for number in range(1, 14)]


def test_a_row_of_the_table_is_measured_by_the_command() -> None:
    done = run_command(CHECKOUT, sys.executable, "-m", "bench", "--scale", "0.01", "--rounds", "1", "5")
    assert re.search(r"^\| 5 \| .* ms wall, \d+ ms CPU \|", done.stdout, re.MULTILINE), done.stderr
    assert done.returncode == 0


@pytest.mark.full
def test_every_row_is_measured_in_a_small_size() -> None:
    done = run_command(CHECKOUT, sys.executable, "-m", "bench", "--scale", "0.002", "--rounds", "1")
    assert "could not be measured" not in done.stdout
    assert done.stdout.count("\n|") == len(ROWS) - 1, done.stdout
    assert done.returncode == 0, done.stderr
