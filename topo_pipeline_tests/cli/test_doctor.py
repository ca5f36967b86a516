"""The command `doctor`: exit codes, JSON, plain output and the contract check."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.quirks import Quirks
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.topo_api.contract import ASSUMPTIONS
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.command_line import answer, assert_one_sentence, topo_pipeline
from topo_pipeline_tests.conftest import CHECKOUT
from topo_pipeline_tests.doctor.conftest import now
from topo_pipeline_tests.special_files import fingerprints, special_files

WORLD = World(11, scale=0.3)  # shared: it computes each day once


def test_doctor_exits_with_0_if_there_are_only_warnings(tmp_path: Path) -> None:
    with serve(create_app(World(11, scale=0.1), api_key=os.environ["TOPO_API_KEY"], now=now)) as address:
        result = answer(tmp_path, "doctor", TOPO_API_URL=f"{address}/v1")
    assert result.returncode == 0, result.stdout
    assert result.stdout.splitlines()[-1] == "0 problems, 4 warnings."
    assert list(tmp_path.iterdir()) == []


def test_doctor_exits_with_1_if_there_is_a_problem_and_lists_it_as_json(tmp_path: Path) -> None:
    result = answer(tmp_path, "doctor", "--json", TOPO_API_URL="http://127.0.0.1:9/v1")
    assert result.returncode == 1
    output = json.loads(result.stdout)
    assert output["problems"] == 1
    [problem] = [finding for finding in output["findings"] if finding["level"] == "problem"]
    assert problem["check"] == "topo"
    assert problem["do"]


def test_each_finding_is_one_line_in_a_pipe(tmp_path: Path) -> None:
    """Runs in its own process, because invalid settings must not break loading."""
    (tmp_path / "data").write_text("a file where a folder should be")
    wrong = {"TOPO_API_KEY": None, "TOPO_API_URL": "http://127.0.0.1:9/v1", "TOPO_TIMEZONE": "Mars"}
    result = topo_pipeline(tmp_path, "doctor", COLUMNS="40", **wrong)
    assert result.returncode == 1
    *findings, last = result.stdout.splitlines()
    assert [line.split()[0] for line in findings].count("problem") == 4
    unaffected = {"heartbeat", "message", "permissions"}
    others = [words for line in findings if (words := line.split())[1] not in unaffected]
    assert {level for level, *_ in others} == {"problem", "warning"}
    assert last.startswith("4 problems")
    assert "Traceback" not in result.stdout + result.stderr
    assert "\x1b" not in result.stdout


@contextmanager
def sandbox(**options: Any) -> Iterator[str]:
    """Serve a workspace that has activities on the last days."""
    app = create_app(WORLD, api_key=os.environ["TOPO_API_KEY"], now=now, **options)
    with serve(app) as address:
        yield f"{address}/v1"


def contract_line(folder: Path, url: str) -> str:
    result = answer(folder, "doctor", TOPO_API_URL=url)
    [line] = [line for line in result.stdout.splitlines() if line.split()[1] == "contract"]
    return line


def test_the_contract_check_is_printed_written_and_saved(tmp_path: Path) -> None:
    with sandbox(quirks=Quirks(max_page_size=50)) as url:
        result = answer(tmp_path, "doctor", "--contract", "--output", "contract.txt", TOPO_API_URL=url)
        assert result.returncode == 0, result.stderr
        *lines, total = result.stdout.splitlines()
        assert [line.split()[0] for line in lines].count("differs") == 1
        [differing] = [line for line in lines if line.startswith("differs")]
        assert "a page holds 100 rows. Seen: 50 rows" in differing
        assert total == (
            f"{len(ASSUMPTIONS) - 1} of {len(ASSUMPTIONS)} assumptions hold, 1 differs (a page holds 100 rows),"
            " 0 are unknown."
        )
        written = (tmp_path / "contract.txt").read_text()
        assert all(assumption.name in written for assumption in ASSUMPTIONS)
        assert WORLD.organization_id not in written
        line = contract_line(tmp_path, url)
    assert line.startswith("warning")
    assert total.rstrip(".") in line


def test_a_difference_that_refuses_days_is_a_problem_with_and_without_contract(tmp_path: Path) -> None:
    with sandbox(quirks=Quirks(bounds_shift_seconds=7200)) as url:
        result = answer(tmp_path, "doctor", "--contract", "--json", TOPO_API_URL=url)
        line = contract_line(tmp_path, url)
    assert result.returncode == 1
    output = json.loads(result.stdout)
    assert datetime.fromisoformat(output["checked_at"]) <= now()
    refusing = [found["assumption"] for found in output["assumptions"] if found["refuses_days"]]
    assert refusing == [ASSUMPTIONS[0].name]
    assert line.startswith("problem")
    assert refusing[0] in line


def test_an_unchecked_contract_is_ok(tmp_path: Path) -> None:
    Warehouse(str(tmp_path / "data" / "topo.duckdb")).prepare()
    with sandbox() as url:
        line = contract_line(tmp_path, url)
    assert line.startswith("ok")
    assert "topo-pipeline doctor --contract" in line


def test_a_contract_check_that_cannot_be_saved_is_still_printed(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    with sandbox() as url:
        result = answer(tmp_path, "doctor", "--contract", TOPO_API_URL=url)
    assert result.returncode == 1
    assert f"{len(ASSUMPTIONS)} of {len(ASSUMPTIONS)} assumptions hold" in result.stdout
    assert_one_sentence(result, "The result was not saved")


def test_a_contract_check_is_printed_and_saved_even_if_its_file_cannot_be_written(tmp_path: Path) -> None:
    special = special_files(tmp_path)
    before = fingerprints(special.values())
    with sandbox() as url:
        for words in ("it is a named pipe", "it is a symbolic link"):  # exports/test_tables.py has every kind
            file = special[words]
            refused = answer(tmp_path, "doctor", "--contract", "--output", str(file), TOPO_API_URL=url)
            assert_one_sentence(refused, f"{file} can't be written: {words}")
            assert f"{len(ASSUMPTIONS)} of {len(ASSUMPTIONS)} assumptions hold" in refused.stdout
        assert fingerprints(special.values()) == before
        result = answer(tmp_path, "doctor", "--contract", "--output", "missing/contract.txt", TOPO_API_URL=url)
        assert result.returncode == 1
        assert f"{len(ASSUMPTIONS)} of {len(ASSUMPTIONS)} assumptions hold" in result.stdout
        assert_one_sentence(result, "missing/contract.txt can't be written: No such file or directory")
        assert contract_line(tmp_path, url).startswith("ok")


def test_the_contract_check_samples_the_given_day(tmp_path: Path) -> None:
    """The day is before the workspace began, so there is no result to save."""
    with sandbox() as url:
        result = answer(tmp_path, "doctor", "--contract", "--day", "2024-03-05", TOPO_API_URL=url)
    assert "the days that were checked have no activity" in result.stdout
    assert "The result was not saved: the checked days have no activities." in result.stderr
    assert not (tmp_path / "data").exists()


def test_the_contract_check_refuses_a_future_day(tmp_path: Path) -> None:
    result = answer(tmp_path, "doctor", "--contract", "--day", "2999-01-01", TOPO_API_URL="http://127.0.0.1:9/v1")
    assert result.returncode == 2
    assert_one_sentence(result, "2999-01-01 is in the future")


@pytest.mark.parametrize("options", [("--output", "x.txt"), ("--day", "2026-01-01")])
def test_options_of_the_contract_check_are_refused_without_it(tmp_path: Path, options: tuple[str, str]) -> None:
    result = answer(tmp_path, "doctor", *options)
    assert result.returncode == 2
    assert_one_sentence(result, "--contract")


def test_the_contract_check_needs_a_key(tmp_path: Path) -> None:
    assert_one_sentence(answer(tmp_path, "doctor", "--contract", TOPO_API_KEY=None), "TOPO_API_KEY is not set")


def test_the_contract_check_says_what_to_check_if_topo_is_unreachable(tmp_path: Path) -> None:
    result = answer(tmp_path, "doctor", "--contract", TOPO_API_URL="http://127.0.0.1:9/v1")
    assert_one_sentence(result, "127.0.0.1:9", "Check the network, the proxy settings and TOPO_API_URL.")
    assert result.returncode == 1


def test_the_help_lists_what_is_checked(tmp_path: Path) -> None:
    words = " ".join(answer(tmp_path, "doctor", "--help").stdout.split())
    assert "the Dagster home, automation, the targets to publish to, and file permissions." in words


def test_git_ignores_the_file_that_the_examples_write() -> None:
    assert "contract.txt" in (CHECKOUT / ".gitignore").read_text().splitlines()
