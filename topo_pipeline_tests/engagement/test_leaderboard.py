"""The leaderboard: best first by what is certain."""

import math
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from topo_pipeline.engagement.leaderboard import leaderboard, rate_with_interval
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, enrolled, march, opened, replied, sent, uid
from topo_pipeline_tests.report.test_markdown import HOSTILE

LAST_DAY = date(2026, 4, 30)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "topo.duckdb"))


def cohort(sequence: str | None, runs: int, replies: int, day: int = 1) -> list[Activity]:
    begun = [enrolled(march(day, 8), f"{sequence} {n}", sequence=sequence) for n in range(runs)]
    contacted = [sent(march(day), f"{sequence} {n}", sequence=sequence) for n in range(runs)]
    return begun + contacted + [replied(march(day, 10), f"{sequence} {n}", sequence=sequence) for n in range(replies)]


def board_of(workspace: Workspace) -> pd.DataFrame:
    with workspace.warehouse.reader() as connection:
        return leaderboard(connection)


def test_sequences_stand_by_the_lower_bound_then_by_size(workspace: Workspace) -> None:
    workspace.land_all(
        [
            *cohort("lucky", 1, 1),
            *cohort("proven", 60, 30),
            *cohort("young and small", 2, 1, day=60),
            *cohort("young and big", 3, 0, day=60),
            *(opened(march(61, 9, minute), "lucky 0", sequence="lucky") for minute in range(4)),
            sent(march(61), "lucky 0", sequence="lucky"),
        ],
        LAST_DAY,
    )
    workspace.name(**{name: name for name in ("lucky", "proven", "young and small", "young and big")})
    workspace.build()
    board = board_of(workspace)
    assert list(board["sequence"]) == ["proven", "lucky", "young and big", "young and small"]
    assert list(board["contacted"]) == [60, 1, 3, 2]
    assert list(board["messages"]) == [60, 2, 3, 2]
    assert list(board["opens"]) == [0, 4, 0, 0]
    assert list(board["replies"]) == [30, 1, 0, 1]
    assert list(board["matured"]) == [60, 1, 0, 0]
    assert list(board["evidence"]) == ["directional", "too_small", "none", "none"]
    assert board["reply_rate"].isna().tolist() == [False, False, True, True]


def test_sequences_without_a_name_and_without_a_known_rate_are_shown_all_the_same(workspace: Workspace) -> None:
    workspace.land_all([*cohort("outbound", 2, 1), *cohort(None, 1, 0)])
    workspace.build()
    board = board_of(workspace)
    assert list(board["sequence"]) == [uid("outbound"), "(no sequence)"]
    assert board["reply_rate"].isna().all()


def test_an_empty_warehouse_has_an_empty_board(workspace: Workspace) -> None:
    workspace.build()
    assert len(board_of(workspace)) == 0


def test_a_hostile_name_is_untouched_in_the_board(workspace: Workspace) -> None:
    workspace.land_all([activity for name in HOSTILE for activity in cohort(name, 1, 0)])
    workspace.name(**{name: name for name in HOSTILE})
    workspace.build()
    assert set(board_of(workspace)["sequence"]) == set(HOSTILE)


@pytest.mark.parametrize(
    ("rate", "low", "high", "shown"),
    [
        (0.063, 0.038, 0.103, "6.3% (3.8–10.3)"),
        (0.0, 0.0, 0.114, "0.0% (0.0–11.4)"),
        (1.0, 0.886, 1.0, "100.0% (88.6–100.0)"),
        (math.nan, math.nan, math.nan, "–"),
    ],
)
def test_a_rate_is_shown_with_its_interval(rate: float, low: float, high: float, shown: str) -> None:
    assert rate_with_interval(rate, low, high) == shown
