"""The leaderboard: sequences with a rank first, then by size."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from topo_pipeline.engagement.leaderboard import leaderboard
from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report import queries
from topo_pipeline.report.previews import look_at
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, enrolled, march, opened, replied, sent, uid
from topo_pipeline_tests.engagement.oracle import days
from topo_pipeline_tests.report.test_markdown import HOSTILE

DAYS = list(days(date(2026, 3, 1), date(2026, 4, 30)))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "topo.duckdb"))


def cohort(sequence: str | None, runs: int, replies: int, day: int = 1) -> list[Activity]:
    begun = [enrolled(march(day, 8), f"{sequence} {n}", sequence=sequence) for n in range(runs)]
    contacted = [sent(march(day), f"{sequence} {n}", sequence=sequence) for n in range(runs)]
    return begun + contacted + [replied(march(day, 10), f"{sequence} {n}", sequence=sequence) for n in range(replies)]


def board_of(workspace: Workspace) -> pd.DataFrame:
    with workspace.seeing("sequence_summary", "sequence_signals") as connection:
        return pd.DataFrame(leaderboard(connection))


def test_ranked_sequences_come_first_and_the_others_by_size(workspace: Workspace) -> None:
    """Ranks need evidence and a sequence that is not known to be over."""
    workspace.land_all(
        [
            *cohort("lucky", 1, 1),
            *cohort("proven", 60, 30),
            *cohort("weaker", 60, 20),
            *cohort("archived", 80, 60),
            *cohort("young and small", 2, 1, day=60),
            *cohort("young and big", 70, 0, day=60),
            *(opened(march(61, 9, minute), "lucky 0", sequence="lucky") for minute in range(4)),
            sent(march(61), "lucky 0", sequence="lucky"),
        ],
        *DAYS,
    )
    workspace.name(**{name: name for name in ("lucky", "proven", "weaker", "young and small", "young and big")})
    workspace.name("ARCHIVED", archived="archived")
    workspace.build()
    board = board_of(workspace)
    names = ["proven", "weaker", "archived", "young and big", "young and small", "lucky"]
    assert list(board["sequence"]) == names
    assert list(board["touched"]) == [60, 60, 80, 70, 2, 1]
    assert list(board["replies"]) == [30, 20, 60, 0, 1, 1]
    assert list(board["matured"]) == [60, 60, 80, 0, 0, 1]
    assert list(board["evidence"]) == ["directional", "directional", "directional", "none", "none", "too_small"]
    assert board["reply_rate"].isna().tolist() == [False, False, False, True, True, False]


@pytest.fixture(scope="module")
def with_orphans(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The activities without a sequence have the highest reply rate. Of three invited, one gets a message later."""
    workspace = Workspace(str(tmp_path_factory.mktemp("orphans") / "topo.duckdb"))
    runs = ("A", "B", "C")
    invited = [
        *(enrolled(march(1, 8), run) for run in runs),
        *(Activity("invitation.sent", march(1), run, channel="LINKEDIN") for run in runs),
        *(sent(march(3), "A"), replied(march(2), "B"), replied(march(2), "C")),
    ]
    workspace.land_all([*cohort(None, 60, 50), *cohort("proven", 60, 30), *cohort("weaker", 60, 20), *invited], *DAYS)
    workspace.build()
    return workspace


def test_activities_without_a_sequence_are_neither_listed_nor_ranked(with_orphans: Workspace) -> None:
    with with_orphans.warehouse.reader() as connection:
        report = queries.sequences(connection, DEFAULT_RULES)
    listed = [uid("proven"), uid("weaker"), uid("outbound")]
    assert list(board_of(with_orphans)["sequence"]) == listed
    ranks = [(id_, each.signals["reply_rank"]) for id_, each in report.items()]
    assert ranks == list(zip(listed, (1, 2, None), strict=True))
    [row] = [row for row in with_orphans.rows_of("sequence_summary", None) if row["period"] == "lifetime"]
    assert (row["unique_touched"], row["reply_rate_num"]) == (60, 50)


def test_touched_counts_the_runs_that_the_reply_rate_is_based_on(with_orphans: Workspace) -> None:
    [row] = [row for row in board_of(with_orphans).to_dict("records") if row["sequence"] == uid("outbound")]
    assert (row["touched"], row["replies"], row["matured"], row["reply_rate"]) == (3, 2, 3, 2 / 3)


def test_an_empty_warehouse_has_an_empty_board(workspace: Workspace) -> None:
    workspace.build()
    assert len(board_of(workspace)) == 0


def test_sequences_without_a_name_or_a_rate_are_listed_and_hostile_names_are_unchanged(workspace: Workspace) -> None:
    workspace.land_all([activity for name in (*HOSTILE, "unnamed") for activity in cohort(name, 1, 0)])
    workspace.name(**{name: name for name in HOSTILE})
    workspace.build()
    board = board_of(workspace)
    assert set(board["sequence"]) == {*HOSTILE, uid("unnamed")}
    assert board["reply_rate"].isna().all()


@pytest.mark.parametrize("stored", ["DESC", pytest.param("ASC", marks=pytest.mark.full)])
def test_every_list_of_sequences_has_the_same_total_order(workspace: Workspace, stored: str) -> None:
    """By rank, touched runs, name and id. Sequences without a rank or a name come last among their equals."""
    tied = {"tie 1": "Alpha", "tie 2": "Beta", "twin 1": "Twin", "twin 2": "Twin", "unnamed 1": None, "unnamed 2": None}
    sizes = {"best": 60, **dict.fromkeys(tied, 2), "small": 1, "young": 80}
    workspace.land_all(
        [
            activity
            for name, runs in sizes.items()
            for activity in cohort(name, runs, 30 if name == "best" else 0, day=60 if name == "young" else 1)
        ],
        *DAYS,
    )
    workspace.name(best="Zulu", small="Aardvark", young="Abacus", **{name: of for name, of in tied.items() if of})
    workspace.build()
    with workspace.warehouse.transaction() as connection:
        connection.execute(
            "CREATE OR REPLACE TABLE engagement.sequence_summary AS"
            f" FROM engagement.sequence_summary ORDER BY sequence_template_id {stored}"
        )
        board, report = leaderboard(connection), queries.sequences(connection, DEFAULT_RULES)
        preview = look_at(connection, "sequence_summary", DEFAULT_RULES)
    twins, unnamed = (sorted(uid(f"{kind} {n}") for n in (1, 2)) for kind in ("twin", "unnamed"))
    ids = [uid("best"), uid("young"), uid("tie 1"), uid("tie 2"), *twins, *unnamed, uid("small")]
    names = ["Zulu", "Abacus", "Alpha", "Beta", "Twin", "Twin", *unnamed, "Aardvark"]
    assert preview is not None
    assert list(report) == preview.rows["sequence_id"].tolist() == ids
    assert [row["sequence"] for row in board] == [each.ever["name"] for each in report.values()] == names
