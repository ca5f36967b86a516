"""`status`: how far the days have landed, what is missing, and the best sequences."""

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from topo_pipeline.cli import looking
from topo_pipeline.cli.console import quiet
from topo_pipeline.engagement.status import status
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.command_line import answer, assert_one_sentence
from topo_pipeline_tests.engagement.helpers import TABLES, Activity, Workspace, enrolled, march, replied, sent
from topo_pipeline_tests.warehouse.worker import worker

MARCH = [date(2026, 3, day) for day in range(1, 10)]
NAME = "Łódź [bold] with a name that is longer than any column of eighty would have room for, to the end"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "topo.duckdb"))


def begun(sequence: str, day: int, runs: int = 1) -> list[Activity]:
    names = [f"{sequence} {n}" for n in range(runs)]
    return [
        *(enrolled(march(day, 8), run, sequence=sequence) for run in names),
        *(sent(march(day), run, sequence=sequence, step=1) for run in names),
    ]


def test_gaps_are_what_is_missing_not_over_not_proved_or_not_in_the_tables(workspace: Workspace) -> None:
    workspace.land_all([*begun("a", 1), *begun("a", 2), *begun("a", 4)], still_open=MARCH[3])
    workspace.build("sequence_activity")
    workspace.land(MARCH[4], begun("a", 5))
    with workspace.warehouse.transaction() as connection:
        connection.execute("UPDATE topo.loads SET proved = false WHERE day = ?", [MARCH[1]])
    with workspace.warehouse.reader() as connection:
        found = status(connection, due=MARCH[6])
    days = found.days
    assert (days.first, days.complete, days.days, days.activities) == (MARCH[0], MARCH[4], 4, 8)
    assert days.missing == (MARCH[2], MARCH[5], MARCH[6])
    assert days.unclosed == (MARCH[3],)
    assert days.unproved == (MARCH[1],)
    assert found.behind == (MARCH[4],)


def test_unreadable_rows_of_the_last_load_of_each_day_are_counted_and_are_no_gap(workspace: Workspace) -> None:
    workspace.land_all([*begun("a", 1), *begun("a", 2), *begun("a", 3)])
    workspace.build("sequence_activity")
    with workspace.warehouse.transaction() as connection:
        for day, rejects in ((MARCH[0], 2), (MARCH[2], 3)):
            connection.execute("UPDATE topo.loads SET rejects = ? WHERE day = ?", [rejects, day])
    workspace.land(MARCH[0], begun("a", 1))  # where all rows can be read again
    with workspace.warehouse.reader() as connection:
        days = status(connection, due=MARCH[2]).days
    assert days.unreadable == {MARCH[2]: 3}
    assert (days.missing, days.unclosed, days.unproved) == ((), (), ())
    folder = workspace.warehouse.path.parent
    shown = answer(folder, "status", TOPO_WAREHOUSE="topo.duckdb")
    [line] = [line for line in shown.stdout.splitlines() if line.startswith("Unreadable")]
    assert line.split(maxsplit=1)[1].rstrip() == "3 rows could not be read: 2026-03-03 (3)"
    told = json.loads(answer(folder, "status", "--json", TOPO_WAREHOUSE="topo.duckdb").stdout)
    assert told["unreadable"] == {"2026-03-03": 3}


def test_a_day_that_only_the_runs_have_taken_in_is_not_in_the_tables_yet(workspace: Workspace) -> None:
    workspace.land_all([*begun("a", 1)])
    workspace.build("sequence_runs")
    with workspace.warehouse.reader() as connection:
        assert status(connection, due=MARCH[0]).behind == (MARCH[0],)


def test_today_which_is_still_open_is_no_gap(workspace: Workspace) -> None:
    workspace.land_all([*begun("a", 1), *begun("a", 2)], still_open=MARCH[1])
    workspace.build("sequence_activity")
    with workspace.warehouse.reader() as connection:
        found = status(connection, due=MARCH[0])
    assert (found.days.missing, found.days.unclosed, found.behind) == ((), (), ())
    assert found.days.complete == MARCH[0]


def test_replies_without_a_category_are_pending(workspace: Workspace) -> None:
    said = replied(march(1, 10), "a 0", sequence="a")
    more = replied(march(1, 11), "a 0", sequence="a", category="INTERESTED")
    workspace.land_all([*begun("a", 1), said, more])
    with workspace.warehouse.reader() as connection:
        found = status(connection, due=MARCH[0])
    assert found.pending == 1
    assert found.board is None


@pytest.fixture(scope="module")
def six_sequences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of six sequences, one of them with a name that is hard to show."""
    workspace = Workspace(str(tmp_path_factory.mktemp("six") / "topo.duckdb"))
    names = {f"sequence {n}": f"Sequence {n}" for n in range(6)} | {"sequence 0": NAME}
    workspace.land_all([activity for n, name in enumerate(names) for activity in begun(name, 1, runs=9 - n)])
    workspace.name(**names)
    workspace.build(*TABLES)
    return workspace.warehouse.path


@pytest.fixture
def landed(six_sequences: Path, tmp_path: Path) -> Path:
    """A folder with a copy of that warehouse."""
    shutil.copy(six_sequences, tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["\x1b[2J\x9b31m red \u202e", "x" * 10_000])
def test_a_hostile_name_does_nothing_to_a_terminal_and_leaves_its_row_readable(landed: Path, name: str) -> None:
    with Warehouse(str(landed / "topo.duckdb")).transaction() as connection:
        connection.execute("UPDATE engagement.sequence_summary SET sequence_name = ?", [name])
    shown = [answer(landed, "status", *how, TOPO_WAREHOUSE="topo.duckdb").stdout for how in ([], ["--json"])]
    assert all(character.isprintable() or character == "\n" for text in shown for character in text)
    assert max(map(len, shown[0].splitlines())) < 300
    assert {row["sequence"] for row in json.loads(shown[1])["sequences"]} == {name}


def test_it_shows_the_last_complete_day_and_five_sequences_whole_in_a_pipe(landed: Path) -> None:
    result = answer(landed, "status", TOPO_WAREHOUSE="topo.duckdb", COLUMNS="80")
    assert result.returncode == 0
    assert "2026-03-01" in next(line for line in result.stdout.splitlines() if line.startswith("Complete up to"))
    [first] = [line for line in result.stdout.splitlines() if NAME in line]
    assert first.split(NAME)[1].split()[:2] == ["9", "9"]
    assert [name in result.stdout for name in ("Sequence 4", "Sequence 5")] == [True, False]
    assert "\x1b" not in result.stdout
    assert "Dimmed" not in result.stdout


def test_a_script_reads_all_of_it(landed: Path) -> None:
    result = answer(landed, "status", "--json", TOPO_WAREHOUSE="topo.duckdb")
    told = json.loads(result.stdout)
    assert (told["first"], told["complete"], told["days"]) == ("2026-03-01", "2026-03-01", 1)
    assert datetime.fromisoformat(told["read_at"]).utcoffset() == timedelta()
    assert "T" in told["read_at"]
    assert told["missing"][0] == "2026-03-02"
    assert [row["sequence"] for row in told["sequences"]][0] == NAME
    assert len(told["sequences"]) == 6
    assert told["sequences"][0]["reply_rate"] is None


def test_without_a_day_it_says_what_to_do(tmp_path: Path) -> None:
    Warehouse(str(tmp_path / "topo.duckdb")).prepare()
    result = answer(tmp_path, "status", TOPO_WAREHOUSE="topo.duckdb")
    assert (result.returncode, "topo-pipeline backfill" in result.stdout) == (0, True)


def test_without_a_warehouse_it_says_so_and_makes_none(tmp_path: Path) -> None:
    assert_one_sentence(answer(tmp_path, "status"), "no warehouse")
    assert list(tmp_path.iterdir()) == []


@contextmanager
def held(path: Path) -> Iterator[int]:
    """Another process has the warehouse; its number."""
    with worker(Warehouse(str(path)), "hold", MARCH[0]) as holder:
        holder.hears("inside")
        yield holder.process.pid
        holder.go_on()


def test_while_somebody_writes_for_long_it_says_who(landed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "_PATIENCE", 0.01)
    with held(landed / "topo.duckdb") as process:
        result = answer(landed, "status", TOPO_WAREHOUSE="topo.duckdb")
    assert_one_sentence(result, f"process {process}", "topo.duckdb")


def test_what_is_logged_on_the_way_is_left_out_where_a_command_tells_what_came_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = logging.getLogger("topo_pipeline.any")
    with quiet():
        log.warning("trying again")
    log.warning("afterwards")
    assert caplog.messages == ["afterwards"]


@pytest.mark.parametrize(
    ("hours", "says"), [(0.2, "less than an hour ago"), (1.2, "1 hour ago"), (5, "5 hours ago"), (72, "3 days ago")]
)
def test_how_long_ago_is_told_as_a_person_would(hours: float, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 3, 5, tzinfo=UTC)
    monkeypatch.setattr(looking, "now", lambda: now)
    assert looking._ago(now - timedelta(hours=hours)) == says


def test_the_report_is_written_and_its_path_alone_is_printed(landed: Path) -> None:
    result = answer(landed, "report", TOPO_WAREHOUSE="topo.duckdb", TOPO_REPORT_DIR="here")
    assert result.returncode == 0, result.stderr
    [path] = result.stdout.splitlines()
    assert Path(path).parent == landed / "here"
    assert "<html" in Path(path).read_text()


@pytest.mark.parametrize("has_browser", [True, False])
def test_the_report_opens_in_the_browser_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_browser: bool
) -> None:
    opened: list[str] = []

    def browser(address: str) -> bool:
        opened.append(address)
        return has_browser

    monkeypatch.setattr("webbrowser.open", browser)
    monkeypatch.setattr(looking, "write_report", lambda: tmp_path / "report.html")
    result = answer(tmp_path, "report", "--open")
    assert result.returncode == 0
    assert result.stdout.split() == [str(tmp_path / "report.html")]
    assert opened == [(tmp_path / "report.html").as_uri()]
    assert ("Open the file yourself" in result.stderr) is not has_browser


def test_a_report_that_cannot_be_written_ends_in_one_sentence(landed: Path) -> None:
    (landed / "here").write_text("a file where a folder should be")
    assert_one_sentence(answer(landed, "report", TOPO_WAREHOUSE="topo.duckdb", TOPO_REPORT_DIR="here"), "here")
