"""`status`: which days have landed, what is missing, and the sequences."""

import json
from datetime import date
from pathlib import Path

import pytest

from topo_pipeline.engagement.status import status
from topo_pipeline_tests.command_line import answer
from topo_pipeline_tests.engagement.helpers import Workspace, begun, march, replied
from topo_pipeline_tests.warehouse.builders import path_of

MARCH = [date(2026, 3, day) for day in range(1, 10)]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "topo.duckdb"))


def test_status_lists_days_that_are_missing_open_unproved_or_not_in_the_tables(workspace: Workspace) -> None:
    workspace.land_all([*begun("a", 1), *begun("a", 2), *begun("a", 4)], open_days=[MARCH[3]], unproved_days=[MARCH[1]])
    workspace.build("sequence_activity")
    workspace.land(MARCH[4], begun("a", 5))
    with workspace.warehouse.reader() as connection:
        found = status(connection, due=MARCH[6])
    days = found.days
    assert (days.first, days.complete, days.days, days.activities) == (MARCH[0], MARCH[4], 4, 8)
    assert days.missing == (MARCH[2], MARCH[5], MARCH[6])
    assert days.unclosed == (MARCH[3],)
    assert days.unproved == (MARCH[1],)
    assert found.behind == (MARCH[4],)


def test_unreadable_rows_of_the_last_load_of_each_day_are_counted_and_their_days_are_not_missing(
    workspace: Workspace,
) -> None:
    workspace.land_all([*begun("a", 1), *begun("a", 2), *begun("a", 3)])
    workspace.build("sequence_activity")
    with workspace.warehouse.transaction() as connection:
        for day, rejects in ((MARCH[0], 2), (MARCH[2], 3)):
            connection.execute("UPDATE topo.loads SET rejects = ? WHERE day = ?", [rejects, day])
    workspace.land(MARCH[0], begun("a", 1))  # now all its rows can be read
    with workspace.warehouse.reader() as connection:
        days = status(connection, due=MARCH[2]).days
    assert days.unreadable == {MARCH[2]: 3}
    assert (days.missing, days.unclosed, days.unproved) == ((), (), ())
    folder = path_of(workspace.warehouse).parent
    shown = answer(folder, "status", TOPO_WAREHOUSE="topo.duckdb")
    [line] = [line for line in shown.stdout.splitlines() if line.startswith("Unreadable")]
    assert line.split(maxsplit=1)[1].rstrip() == "3 rows could not be read: 2026-03-03 (3)"
    shown_as_json = json.loads(answer(folder, "status", "--json", TOPO_WAREHOUSE="topo.duckdb").stdout)
    assert shown_as_json["unreadable"] == {"2026-03-03": 3}


def test_a_day_that_only_sequence_runs_has_processed_is_not_in_the_tables_yet(workspace: Workspace) -> None:
    workspace.land_all([*begun("a", 1)])
    workspace.build("sequence_runs")
    with workspace.warehouse.reader() as connection:
        assert status(connection, due=MARCH[0]).behind == (MARCH[0],)


def test_today_is_neither_missing_nor_unclosed(workspace: Workspace) -> None:
    workspace.land_all([*begun("a", 1), *begun("a", 2)], still_open=MARCH[1])
    workspace.build("sequence_activity")
    with workspace.warehouse.reader() as connection:
        found = status(connection, due=MARCH[0])
    assert (found.days.missing, found.days.unclosed, found.behind) == ((), (), ())
    assert found.days.complete == MARCH[0]


def test_replies_without_a_category_are_pending(workspace: Workspace) -> None:
    pending = replied(march(1, 10), "a 0", sequence="a")
    classified = replied(march(1, 11), "a 0", sequence="a", category="INTERESTED")
    workspace.land_all([*begun("a", 1), pending, classified])
    with workspace.warehouse.reader() as connection:
        found = status(connection, due=MARCH[0])
    assert found.pending == 1
    assert found.board is None
