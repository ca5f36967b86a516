"""What moved since an earlier report. What is expected follows from what happened, counted by hand."""

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from msgspec.structs import replace

from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report.archive import Facts, FinalWeek, SaidFinding, SequenceFacts
from topo_pipeline.report.page import Published, publish
from topo_pipeline.report.since import Since, since
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, enrolled, march, replied, sent
from topo_pipeline_tests.report.reading import Seen
from topo_pipeline_tests.report.test_archive import MONDAY, facts

# Without days, so that nothing is counted in tables.
THEN = replace(facts(MONDAY - timedelta(days=7)), first_day=None, as_of=None, final=None, findings=(), sequences={})
NOW = replace(THEN, written=MONDAY)


@pytest.fixture(scope="module")
def tables() -> Iterator[duckdb.DuckDBPyConnection]:
    """No tables, for facts without days."""
    with duckdb.connect() as connection:
        yield connection


def finding(kind: str, sequence_id: str | None, claim: str = "") -> SaidFinding:
    return SaidFinding(kind, sequence_id, claim or f"{kind} of {sequence_id}.")


def sequence(name: str, rank: int | None = None, change: str = "no clear change") -> SequenceFacts:
    return SequenceFacts(name, rank, 0.063, 0.038, 0.103, change)


def plain(moved: Since) -> list[str]:
    return [line.translate({0x2068: "", 0x2069: ""}) for line in moved.lines()]


def moved(connection: duckdb.DuckDBPyConnection, then: Facts, now: Facts, *weeks: dict[str, Any]) -> Since:
    return since(connection, now, then, weeks)


def test_new_and_gone_findings_are_named_by_what_they_claimed_then(tables: duckdb.DuckDBPyConnection) -> None:
    then = replace(THEN, findings=(finding("down", "a", "A fell to 5."), finding("silent", "b")))
    now = replace(NOW, findings=(finding("down", "a", "A fell to 4."), finding("up", "b"), finding("silent", None)))
    found = moved(tables, then, now)
    assert found.title == "Since the report of 23 November 2026"
    assert found.new == ("up of b.", "silent of None.")
    assert found.lines() == ["New: up of b.", "New: silent of None.", "No longer found: silent of b."]
    assert found.lines({"up of b."}) == ["New: silent of None.", "No longer found: silent of b."]


def test_an_unusual_volume_is_new_each_time_and_never_gone(tables: duckdb.DuckDBPyConnection) -> None:
    then = replace(THEN, findings=(finding("unusual_volume", "a", "A sent 1."), finding("unusual_volume", "b")))
    now = replace(NOW, findings=(finding("unusual_volume", "a", "A sent 9."),))
    assert plain(moved(tables, then, now)) == ["New: A sent 9."]
    assert plain(moved(tables, then, replace(now, findings=then.findings))) == [
        "The findings are the same as in that report."
    ]


def test_long_lists_are_cut_and_the_rest_is_counted(tables: duckdb.DuckDBPyConnection) -> None:
    then = replace(THEN, findings=tuple(finding("silent", str(n)) for n in range(5)))
    now = replace(NOW, findings=tuple(finding("up", str(n)) for n in range(4)))
    assert plain(moved(tables, then, now)) == [
        "New: up of 0.",
        "New: up of 1.",
        "New: up of 2.",
        "1 more finding is new.",
        "No longer found: silent of 0.",
        "No longer found: silent of 1.",
        "No longer found: silent of 2.",
        "2 other findings are gone too.",
    ]


def test_a_first_rank_and_a_lost_one_are_named(tables: duckdb.DuckDBPyConnection) -> None:
    then = replace(THEN, sequences={"a": sequence("A"), "b": sequence("B", 1), "c": sequence("C", 2)})
    names = {"a": sequence("A", 1), "b": sequence("B"), "d": sequence("D", 2), "c": sequence("C", 3)}
    now = replace(NOW, sequences=names)
    assert plain(moved(tables, then, now))[1:] == [
        "Now with a rank: A (6.3%, likely range 3.8–10.3%) and D (6.3%, likely range 3.8–10.3%).",
        "Without a rank now: B.",
    ]


def test_a_change_is_named_if_no_finding_says_it(tables: duckdb.DuckDBPyConnection) -> None:
    then = replace(
        THEN,
        sequences={
            "a": sequence("A"),
            "b": sequence("B", change="▲ up"),
            "c": sequence("C"),
            "d": sequence("D", change="too few"),
        },
    )
    now = replace(
        NOW,
        findings=(finding("down", "c"),),
        sequences={
            "a": sequence("A", change="▼ down"),
            "b": sequence("B", change="too few"),
            "c": sequence("C", change="▼ down"),
            "d": sequence("D"),
            "e": sequence("E", change="▲ up"),
        },
    )
    assert plain(moved(tables, then, now))[1:] == [
        "Change, as in the list of sequences: A (was no clear change, is ▼ down) and B (was ▲ up, is too few)."
    ]


def test_a_final_rate_that_is_another_one_now_is_a_correction(tables: duckdb.DuckDBPyConnection) -> None:
    then = replace(THEN, final=FinalWeek(date(2026, 10, 12), 12, 200))
    weeks = [
        {"week_start": datetime(2026, 10, day), "num": num, "den": 200}  # noqa: DTZ001 - as the table has it
        for day, num in ((5, 99), (12, 13), (19, 99))
    ]
    assert plain(moved(tables, then, NOW, *weeks))[1:] == [
        "Correction: the final rate of 12–18 October 2026 is now 6.5% (13 of 200), and was 6.0% (12 of 200)."
    ]
    weeks[1]["num"] = 12
    assert plain(moved(tables, then, NOW, *weeks))[1:] == []
    assert plain(moved(tables, then, NOW, weeks[0]))[1:] == []


def test_with_other_rules_only_days_are_compared(tables: duckdb.DuckDBPyConnection) -> None:
    now = replace(NOW, rules="others", findings=(finding("up", "a"),), sequences={"a": sequence("A", 1)})
    found = moved(tables, THEN, now)
    assert (found.title, found.new) == ("Since the report of 23 November 2026", ())
    assert plain(found) == [
        "The rules or their defaults have changed since then, so rates and findings are not compared."
    ]


def test_without_an_earlier_report_there_is_no_title_and_unreadable_files_are_named(
    tables: duckdb.DuckDBPyConnection,
) -> None:
    found = since(tables, NOW, None, [], ["engagement_report_2026-11-23.json"])
    assert found.title is None
    assert found.lines() == [
        "The kept file engagement_report_2026-11-23.json can't be read and is left out.",
        "No kept report is at least 5 days older, so there is nothing to compare with yet.",
    ]
    assert since(tables, NOW, THEN, [], ["x.json"]).lines()[-1] == "The kept file x.json can't be read and is left out."


# --- From the tables


def run(name: str, day: int) -> list[Any]:
    return [enrolled(march(day, 8), name), sent(march(day), name)]


FIRST_WEEK = [*run("a", 2), *run("b", 6), replied(march(4), "a", category="INTERESTED")]
SECOND_WEEK = [
    *run("c", 9),
    *run("d", 10),
    *run("e", 15),
    replied(march(11), "c", category="MEETING"),
    Activity("meeting.created", march(12), "c"),
    replied(march(12), "d", category="NOT_INTERESTED"),
]


def report_on(workspace: Workspace, folder: Path, day: int) -> Published:
    with workspace.warehouse.reader() as connection:
        now = datetime(2026, 3, day, 6, 30, tzinfo=UTC)
        return publish(connection, folder, timezone="UTC", rules=DEFAULT_RULES, now=now)


def lines_of(published: Published) -> list[str]:
    """Return the paragraph of the message about what moved."""
    paragraphs = published.text.split("\n\n")
    return next((each.splitlines() for each in paragraphs if each.startswith("Since the report of")), [])


@pytest.fixture(scope="module")
def _reported(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("reported")
    workspace = Workspace(str(folder / "topo.duckdb"))
    workspace.land_all(FIRST_WEEK, *(date(2026, 3, day) for day in range(2, 9)))
    workspace.name(outbound="Outbound")
    workspace.build()
    assert lines_of(report_on(workspace, folder, 9)) == []
    return workspace


@pytest.fixture
def reported(_reported: Workspace, tmp_path: Path) -> Workspace:
    """A workspace with a report of Monday 9 March, of the week before, next to it."""
    shutil.copytree(Path(_reported.target).parent, tmp_path, dirs_exist_ok=True)
    return _reported.copied(tmp_path)


def test_new_days_and_earlier_days_that_changed_are_counted_apart(reported: Workspace, tmp_path: Path) -> None:
    # Contact b's reply of the first week is only known now.
    known_late = replied(march(7), "b", category="NEUTRAL")
    reported.land_all([known_late, *SECOND_WEEK], *(date(2026, 3, day) for day in range(9, 16)))
    reported.build()
    published = report_on(reported, tmp_path, 16)
    assert lines_of(published) == [
        "Since the report of 9 March 2026",
        "New in the data, 9–15 March 2026: 3 messages and invitations, 3 new contacts, 2 replies (1 positive) and 1"
        " meeting.",
        "The findings are the same as in that report.",
        "Correction: 2–8 March 2026 now has 1 more reply than that report said.",
    ]
    seen = Seen(published.path.read_text(encoding="utf-8"))
    assert all(line in seen.all_text for line in lines_of(published))


def test_without_a_new_day_the_end_of_the_data_is_said(reported: Workspace, tmp_path: Path) -> None:
    assert lines_of(report_on(reported, tmp_path, 16)) == [
        "Since the report of 9 March 2026",
        "No day was added to the data. It still ends with 8 March 2026.",
        "The findings are the same as in that report.",
    ]


def test_data_that_ends_earlier_than_before_is_not_counted(reported: Workspace, tmp_path: Path) -> None:
    kept = tmp_path / "reports" / "engagement_report_2026-03-09.json"
    kept.write_text(kept.read_text().replace('"as_of": "2026-03-08"', '"as_of": "2026-03-20"'))
    assert lines_of(report_on(reported, tmp_path, 16))[1:] == [
        "No day was added to the data. It ended with 20 March 2026 and now ends with 8 March 2026.",
        "The findings are the same as in that report.",
    ]


def test_a_damaged_kept_report_fails_nothing(reported: Workspace, tmp_path: Path) -> None:
    (tmp_path / "reports" / "engagement_report_2026-03-09.json").write_text("{")
    published = report_on(reported, tmp_path, 16)
    assert lines_of(published) == []
    page = published.path.read_text(encoding="utf-8")
    assert "The kept file engagement_report_2026-03-09.json can" in page


def test_kept_files_hold_no_contact(reported: Workspace, tmp_path: Path) -> None:
    found = reported.select("SELECT id, person_id, sequence_id FROM topo.activities")
    ids = {str(each) for row in found for each in row if each}
    texts = [path.read_text(encoding="utf-8") for path in (tmp_path / "reports").iterdir()]
    assert len(texts) == 2
    assert len(ids) > 5
    assert not [each for each in ids if any(each in text for text in texts)]


def test_the_findings_are_not_the_same_if_an_unusual_volume_has_passed(tables: duckdb.DuckDBPyConnection) -> None:
    then = replace(THEN, findings=(finding("silent", "a"), finding("unusual_volume", "b")))
    now = replace(NOW, findings=(finding("silent", "a"),))
    assert plain(moved(tables, then, now)) == ["No finding is new."]
    assert plain(moved(tables, now, now)) == ["The findings are the same as in that report."]
