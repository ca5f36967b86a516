"""The leaderboard: best first by what is certain, and names that are other people's text."""

import math
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from topo_pipeline.report.leaderboard import leaderboard, leaderboard_markdown, rate_with_interval
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, enrolled, march, opened, replied, sent, uid

LAST_DAY = date(2026, 4, 30)
COLUMNS = ["sequence", "contacted", "messages", "opens", "replies", "reply_rate", "matured", "evidence"]
HOSTILE = [
    "a | b || c",
    "backslash \\| pipe \\\\| again",
    "two\nlines\r\n\r\n# heading\u2028and more",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "&lt;b&gt; &amp; &#60;i&#62;",
    "![pixel](https://tracker.example/1.png) [link](javascript:alert(1))",
    "`code` **bold** _under_ ~~gone~~ <https://auto.example>",
    "\u202eright to left\u2066 override",
    "\x1b[31mred\x00\x07",
    "x" * 500,
    "שלום مرحبا 🚀 été",
]


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


def cells_of(markdown: str) -> list[list[str]]:
    """The body of the one table that a markdown reader sees, as the text that it shows."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)
    assert (tokens[0].type, tokens[-1].type) == ("table_open", "table_close")
    inlines = [token for token in tokens if token.type == "inline"]
    children = [child for token in inlines for child in token.children or []]
    assert {child.type for child in children} <= {"text", "text_special"}
    texts = ["".join(child.content for child in token.children or []) for token in inlines]
    rows = [texts[i : i + len(COLUMNS)] for i in range(0, len(texts), len(COLUMNS))]
    assert rows[0] == COLUMNS
    return rows[1:]


def named(*names: str) -> pd.DataFrame:
    row = {"contacted": 3, "messages": 4, "opens": 5, "replies": 1, "matured": 3, "evidence": "too_small"}
    rates = {"reply_rate": 1 / 3, "reply_rate_low": 0.06, "reply_rate_high": 0.79}
    return pd.DataFrame([{"sequence": name} | row | rates for name in names])


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
    assert [cells[COLUMNS.index("reply_rate")] for cells in cells_of(leaderboard_markdown(board))][2:] == ["–", "–"]


def test_a_sequence_without_a_name_is_shown_by_its_id_and_none_as_such(workspace: Workspace) -> None:
    workspace.land_all([*cohort("outbound", 2, 0), *cohort(None, 1, 0)])
    workspace.build()
    assert list(board_of(workspace)["sequence"]) == [uid("outbound"), "(no sequence)"]


def test_where_no_rate_is_known_yet_the_board_is_shown_all_the_same(workspace: Workspace) -> None:
    workspace.land_all(cohort("outbound", 2, 1))
    workspace.build()
    board = board_of(workspace)
    assert math.isnan(board["reply_rate"][0])
    assert cells_of(leaderboard_markdown(board)) == [[uid("outbound"), "2", "2", "0", "1", "–", "0", "none"]]


def test_an_empty_warehouse_has_an_empty_board(workspace: Workspace) -> None:
    workspace.build()
    board = board_of(workspace)
    assert len(board) == 0
    assert "reply_rate" in leaderboard_markdown(board)


def test_a_hostile_name_is_untouched_in_the_board(workspace: Workspace) -> None:
    workspace.land_all([activity for name in HOSTILE for activity in cohort(name, 1, 0)])
    workspace.name(**{name: name for name in HOSTILE})
    workspace.build()
    board = board_of(workspace)
    assert set(board["sequence"]) == set(HOSTILE)
    assert len(cells_of(leaderboard_markdown(board))) == len(HOSTILE)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_stays_text_in_its_cell(name: str) -> None:
    markdown = leaderboard_markdown(named("before", name, "after"))
    assert len(markdown.split("\n")) == len(markdown.splitlines()) == 5
    assert all(character.isprintable() or character == "\n" for character in markdown)
    shown = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    rest = ["3", "4", "5", "1", "33.3 % (6.0–79.0)", "3", "too_small"]
    assert cells_of(markdown) == [["before", *rest], [shown, *rest], ["after", *rest]]


@pytest.mark.parametrize("name", ["007", "1e5", "1.10", "nan", "inf", "True"])
def test_a_name_that_looks_like_a_number_is_a_name(name: str) -> None:
    assert cells_of(leaderboard_markdown(named(name)))[0][0] == name


@pytest.mark.parametrize(
    ("rate", "low", "high", "shown"),
    [
        (0.063, 0.038, 0.103, "6.3 % (3.8–10.3)"),
        (0.0, 0.0, 0.114, "0.0 % (0.0–11.4)"),
        (1.0, 0.886, 1.0, "100.0 % (88.6–100.0)"),
        (math.nan, math.nan, math.nan, "–"),
    ],
)
def test_a_rate_is_shown_with_its_interval(rate: float, low: float, high: float, shown: str) -> None:
    assert rate_with_interval(rate, low, high) == shown
