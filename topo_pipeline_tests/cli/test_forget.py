"""The command `forget`: confirmation, output and completeness."""

import os
import pty
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import duckdb
import pytest

from topo_pipeline.ingest.loading import load_days
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.command_line import Forked, answer, assert_one_sentence
from topo_pipeline_tests.crashes.source import client, days_of

DAYS = [date(2026, 3, 2), date(2026, 3, 3)]
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
OF_PERSON = "FROM topo.topo.activities WHERE person_id = ?"


@pytest.fixture(scope="module")
def api_url() -> Iterator[str]:
    with serve(create_app(World(11, scale=0.1), api_key=os.environ["TOPO_API_KEY"], now=lambda: NOW)) as address:
        yield f"{address}/v1"


def read_days(warehouse: Path, api_url: str) -> list[Load]:
    loads = list(
        load_days(
            lambda: client(api_url, NOW),
            Warehouse(str(warehouse)),
            days_of(DAYS),
            run_id="a run",
            clock=lambda: NOW,
            timezone="UTC",
        )
    )
    return [load for load in loads if isinstance(load, Load)]


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory, api_url: str) -> Path:
    path = tmp_path_factory.mktemp("landed") / "topo.duckdb"
    assert len(read_days(path, api_url)) == len(DAYS)
    return path


@pytest.fixture
def folder(landed: Path, tmp_path: Path) -> Path:
    """A folder with a warehouse in which two days have landed."""
    folder = tmp_path / "here"
    (folder / "data").mkdir(parents=True)
    shutil.copy(landed, folder / "data" / "topo.duckdb")
    return folder


def ask(folder: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    with duckdb.connect(folder / "data" / "topo.duckdb", read_only=True) as connection:
        return connection.execute(sql, values).fetchall()


def a_person(folder: Path) -> str:
    [(person,)] = ask(folder, "SELECT max(person_id)::VARCHAR FROM topo.topo.activities")
    return str(person)


def test_forget_reports_what_it_erased_and_a_reload_does_not_bring_it_back(folder: Path, api_url: str) -> None:
    person = a_person(folder)
    [(count,)] = ask(folder, f"SELECT count(*) {OF_PERSON}", person)
    result = answer(folder, "forget", person, "--yes")
    assert result.returncode == 0, result.stderr
    assert f"Erased (activities: {count}," in result.stdout
    assert ask(folder, f"SELECT count(*) {OF_PERSON}", person) == [(0,)]

    again = read_days(folder / "data" / "topo.duckdb", api_url)
    assert sum(load.suppressed for load in again) == count
    assert ask(folder, f"SELECT count(*) {OF_PERSON}", person) == [(0,)]
    shown = [path for path in folder.rglob("*") if path.is_file() and person.encode() in path.read_bytes()]
    assert shown == []


def test_forget_without_a_terminal_requires_yes(folder: Path) -> None:
    assert_one_sentence(answer(folder, "forget", a_person(folder)), "--yes")
    assert ask(folder, f"SELECT count(*) > 0 {OF_PERSON}", a_person(folder)) == [(True,)]


def use_terminal(name: str) -> None:
    """Let this process read from a terminal, and print what it prints as its errors."""
    sys.stdin, sys.stdout = os.fdopen(os.open(name, os.O_RDWR)), sys.stderr


@pytest.mark.parametrize(("typed", "erased"), [("", False), ("y", True)])
def test_forget_asks_for_confirmation_at_a_terminal(folder: Path, typed: str, erased: bool) -> None:
    person = a_person(folder)
    ours, theirs = pty.openpty()
    os.write(ours, f"{typed}\n".encode())
    code, shown = Forked(folder, "forget", person, before=partial(use_terminal, os.ttyname(theirs))).end()
    os.close(ours)
    os.close(theirs)
    assert f"Erase {person} from data/topo.duckdb (activities: " in shown
    assert code == (0 if erased else 1)
    assert ask(folder, f"SELECT count(*) = 0 {OF_PERSON}", person) == [(erased,)]


def test_an_id_without_landed_rows_is_an_error(folder: Path) -> None:
    result = answer(folder, "forget", "0b9c4a52-6f0e-4c5b-9d5e-2f6f3c1d7a10", "--yes")
    assert_one_sentence(result, "No landed row mentions 0b9c4a52")


@pytest.mark.parametrize("invalid_id", ["", "'; DROP TABLE topo.activities; --"])
def test_an_invalid_id_is_a_one_line_error(tmp_path: Path, invalid_id: str) -> None:
    assert_one_sentence(answer(tmp_path, "forget", "--yes", "--", invalid_id), "is not a contact id")
    assert list(tmp_path.iterdir()) == []


def test_forget_without_a_warehouse_is_an_error_and_creates_none(tmp_path: Path) -> None:
    result = answer(tmp_path, "forget", "0b9c4a52-6f0e-4c5b-9d5e-2f6f3c1d7a10", "--yes")
    assert_one_sentence(result, "no warehouse")
    assert list(tmp_path.iterdir()) == []
