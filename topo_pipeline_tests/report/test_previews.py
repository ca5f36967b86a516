"""Previews on a table's page in Dagster: a few rows and numbers, without personal data."""

from collections.abc import Collection
from datetime import date, timedelta
from pathlib import Path

import pytest

from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report.looks import LOOKS
from topo_pipeline.report.previews import ROWS, Seen, look_at
from topo_pipeline_tests.engagement.helpers import Workspace, enrolled, march, replied, sent, uid
from topo_pipeline_tests.report.test_markdown import HOSTILE, cells_of

SHOWN_AT_ONCE = 1000  # characters; Dagster hides a longer markdown behind a link
LAST_DAY = date(2026, 4, 15)  # a month after the second week
NAMES = [*HOSTILE, "twin", "twin"]


def seen_of(workspace: Workspace, *days: date, tables: Collection[str] = LOOKS) -> dict[str, Seen]:
    with workspace.seeing(*tables) as connection:
        looks = {table: look_at(connection, table, DEFAULT_RULES, days) for table in tables}
    return {table: look for table, look in looks.items() if look}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """Thirteen sequences with hostile names and 40 runs in each of two weeks, of which a tenth got a reply."""
    workspace = Workspace(str(tmp_path_factory.mktemp("previews") / "topo.duckdb"))
    activities = []
    for place in range(len(NAMES)):
        for run in range(80):
            who = {"run": f"{place} {run}", "sequence": f"{place}"}
            day = 2 + 7 * (run % 2)
            activities += [enrolled(march(day, 8), **who), sent(march(day), message=f"{place} {run}", step=1, **who)]
            if run < 16 - place:
                activities.append(replied(march(day + 1, 10), message=f"{place} {run}", category="INTERESTED", **who))
    workspace.land_all(activities, *(march(1).date() + timedelta(days=ahead) for ahead in range(46)))
    workspace.name(**{f"{place}": name for place, name in enumerate(NAMES)})
    workspace.build()
    return seen_of(workspace, march(2).date(), LAST_DAY)


@pytest.mark.parametrize("table", LOOKS)
def test_every_preview_has_a_few_rows_and_is_short_enough_to_be_shown_directly(
    seen: dict[str, Seen], table: str
) -> None:
    preview = seen[table].preview()
    headings, *rows = cells_of(preview)
    assert headings == list(LOOKS[table].columns)
    assert 1 <= len(rows) <= ROWS
    if not {"sequence"} & {*headings}:  # escaped hostile names are long
        assert len(preview) < SHOWN_AT_ONCE


def test_previews_name_no_contact_and_no_run(seen: dict[str, Seen]) -> None:
    shown = " ".join(look.preview() + look.rows.to_csv() + look.numbers.to_csv() for look in seen.values())
    assert uid("0 0") not in shown
    assert uid("Ada") not in shown


def test_the_numbers_match_the_table(seen: dict[str, Seen]) -> None:
    replies = sum(16 - place for place in range(len(NAMES)))
    assert seen["sequence_runs"].totals() == {
        "contacts": 80 * len(NAMES), "replied": replies, "active": 80 * len(NAMES) - replies, "left_censored": 0
    }  # fmt: skip
    assert seen["sequence_cohorts"].totals() == {
        "matured_runs": 80 * len(NAMES), "reply_rate_percent": pytest.approx(100 * replies / (80 * len(NAMES)))
    }  # fmt: skip
    assert seen["sequence_daily"].totals()["days"] == 45  # the first landed day was before them
    assert seen["sequence_summary"].totals()["sequences"] == len(NAMES)
    assert seen["sequence_steps"].totals() == {"sends_with_known_step_percent": 100}


def test_a_daily_table_has_numbers_by_day_and_zeros_for_empty_days(seen: dict[str, Seen]) -> None:
    assert seen["sequence_activity"].by_day() == {
        march(2).date(): {"messages": 40 * len(NAMES), "replies": 0},
        LAST_DAY: {"messages": 0, "replies": 0},
    }


def test_the_preview_shows_the_best_or_newest_rows(seen: dict[str, Seen]) -> None:
    assert cells_of(seen["sequence_summary"].preview())[1][:2] == ["a | b || c", "80"]
    assert cells_of(seen["sequence_daily"].preview())[1][0].replace("\u2060", "") == str(LAST_DAY)
    replies = str(sum(16 - place for place in range(len(NAMES))))
    assert [row[:2] for row in cells_of(seen["sequence_runs"].preview())[1:]] == [
        ["Enrolled", "1,040"],
        ["Messaged or invited", "1,040"],
        ["Replied", replies],
        ["Positive reply", replies],
        ["Meeting", "0"],
    ]


def test_closed_weeks_with_unknown_days_are_shown_and_marked(tmp_path: Path) -> None:
    """Tuesday the 10th is unknown. It is in the windows of the 3rd and the 9th, not of the 12th and the 17th."""
    workspace = Workspace(str(tmp_path / "topo.duckdb"))
    happened = [
        did for day in (3, 9, 12, 17, 25) for did in (enrolled(march(day, 8), f"{day}"), sent(march(day), f"{day}"))
    ]
    workspace.land_all(happened, *(march(day).date() for day in range(1, 54)), unproved_days=[march(10).date()])
    workspace.build()
    tables = ("workspace_weekly", "sequence_cohorts")
    looks = seen_of(workspace, tables=tables)
    for seen in map(looks.__getitem__, tables):
        shown = seen.rows[["week_start", "den", "days_known"]].itertuples(index=False)
        assert [(week.date(), counted, known) for week, counted, known in shown] == [
            (march(2).date(), 0, "not all"),
            (march(9).date(), 1, "not all"),
            (march(16).date(), 1, "all"),
        ]
        assert cells_of(seen.preview())[1][-1] == "all"


def test_an_empty_table_says_so(empty: Workspace) -> None:
    for table, look in seen_of(empty).items():
        assert (table, look.preview()) == (table, "No rows yet.")
        assert all(value == 0 for value in (look.by_day() if table == "sequence_activity" else look.totals()).values())


def test_a_table_that_is_not_in_looks_has_no_preview(tmp_path: Path) -> None:
    with Workspace(str(tmp_path / "topo.duckdb")).warehouse.transaction() as connection:
        assert look_at(connection, "some_table_to_come", DEFAULT_RULES) is None
