"""Topo's own example of how its screens count. The two days can be loaded in any order."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from topo_pipeline.engagement.tables import tables
from topo_pipeline_tests.engagement.helpers import DAILY, Workspace, enrolled, march, opened, sent

DAY_1, DAY_2 = date(2026, 3, 1), date(2026, 3, 2)
FIRST = [
    enrolled(march(1, 8), "A"),
    enrolled(march(1, 8), "B"),
    sent(march(1, 9), "A"),
    opened(march(1, 10), "A"),
    opened(march(1, 11), "A"),
    sent(march(1, 12), "B"),
]
SECOND = [opened(march(2, 9), "A"), sent(march(2, 10), "A"), opened(march(2, 11), "B")]
# Copied from the specification.
EXPECTED = {
    DAY_1: {"unique_sent": 2, "total_sent": 2, "unique_opens": 1, "total_opens": 2},
    DAY_2: {"unique_sent": 0, "total_sent": 1, "unique_opens": 1, "total_opens": 2},
}


def counted(workspace: Workspace) -> dict[date, dict[str, Any]]:
    daily = workspace.daily()
    return {day: {name: daily[day][name] for name in expected} for day, expected in EXPECTED.items() if day in daily}


@pytest.mark.parametrize(
    ("order", "builds_between"),
    [
        pytest.param((2, 1), True, id="second day first, built after each day"),
        pytest.param((1, 2), False, id="in order, built once", marks=pytest.mark.full),
        pytest.param((1, 2), True, id="in order, built after each day", marks=pytest.mark.full),
        pytest.param((2, 1), False, id="second day first, built once", marks=pytest.mark.full),
    ],
)
def test_the_golden_example_in_any_order(workspace: Workspace, order: tuple[int, ...], builds_between: bool) -> None:
    land_and_build(workspace, order, builds_between)
    assert counted(workspace) == EXPECTED


def test_the_golden_example_in_a_lake_and_the_comments_there(lake: Workspace) -> None:
    land_and_build(lake, order=(2, 1), builds_between=True)
    assert counted(lake) == EXPECTED
    commented = "SELECT count(*), count(comment) FROM duckdb_columns() WHERE table_name = 'sequence_daily'"
    with lake.seeing("sequence_daily") as connection:
        [(columns, comments)] = connection.execute(commented).fetchall()
    assert columns == comments == len(tables()["sequence_daily"].columns)


def land_and_build(workspace: Workspace, order: tuple[int, ...], builds_between: bool) -> None:
    for day in order:
        workspace.land(*((DAY_1, FIRST) if day == 1 else (DAY_2, SECOND)))
        if builds_between:
            workspace.build(*DAILY)
    workspace.build(*DAILY)


def test_the_golden_example_after_both_days_are_read_again(workspace: Workspace) -> None:
    """The number of distinct runs per day would be wrong on the second day."""
    for _ in range(2):
        workspace.land_all(FIRST + SECOND)
        workspace.build(*DAILY)
    assert counted(workspace) == EXPECTED
    naive = workspace.select(
        "SELECT count(DISTINCT sequence_id) FROM topo.activities WHERE type = 'message.opened' AND day = '2026-03-02'"
    )
    assert naive == [(2,)]
    assert EXPECTED[DAY_2]["unique_opens"] == 1


def test_both_spellings_of_the_api_give_the_same_counts(workspace: Workspace) -> None:
    workspace.land_all(replace(activity, snake_case=True) for activity in FIRST + SECOND)
    workspace.build()
    assert counted(workspace) == EXPECTED
