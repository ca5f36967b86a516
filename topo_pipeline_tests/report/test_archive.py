"""The kept reports: the last one of each day, the newest 53 days, and what later reports read from them."""

import json
import stat
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest

from topo_pipeline.report.archive import (
    FOLDER,
    KEPT,
    Counts,
    Facts,
    FinalWeek,
    SaidFinding,
    SequenceFacts,
    earlier,
    keep,
)
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline_tests.limits import umask

MONDAY = date(2026, 11, 30)


def facts(written: date = MONDAY, **changes: object) -> Facts:
    known = Facts(
        written=written,
        first_day=date(2026, 6, 1),
        as_of=written - timedelta(days=1),
        rules="the rules",
        counts=Counts(5, 4, 3, 2, 1),
        final=FinalWeek(date(2026, 10, 19), 12, 190),
        findings=(SaidFinding("down", "an id", "Replies to CFOs have gone down."),),
        sequences={"an id": SequenceFacts("CFOs", 1, 0.1, 0.05, 0.2, "▼ down")},
    )
    return msgspec.structs.replace(known, **changes)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / FOLDER).iterdir())


def test_a_report_is_kept_by_its_day_and_a_later_one_of_the_day_replaces_it(tmp_path: Path) -> None:
    keep(tmp_path, "first", facts())
    with umask(0o027):
        page = keep(tmp_path, "second", facts(as_of=None))
    assert page == tmp_path / FOLDER / "engagement_report_2026-11-30.html"
    assert page.read_text() == "second"
    assert stat.S_IMODE(page.stat().st_mode) == 0o640
    assert names(tmp_path) == ["engagement_report_2026-11-30.html", "engagement_report_2026-11-30.json"]
    assert json.loads(page.with_suffix(".json").read_text())["as_of"] is None


def test_facts_are_read_as_they_were_written(tmp_path: Path) -> None:
    keep(tmp_path, "", facts())
    assert earlier(tmp_path, MONDAY + timedelta(days=7)) == (facts(), [])


@pytest.mark.parametrize(("days_later", "is_used"), [(0, False), (4, False), (5, True), (400, True)])
def test_a_report_is_compared_with_one_that_is_at_least_five_days_older(
    tmp_path: Path, days_later: int, is_used: bool
) -> None:
    keep(tmp_path, "", facts())
    found, _ = earlier(tmp_path, MONDAY + timedelta(days=days_later))
    assert (found is not None) is is_used


def test_the_newest_of_the_older_ones_is_used(tmp_path: Path) -> None:
    for ago in (14, 7, 3, 21):
        keep(tmp_path, "", facts(MONDAY - timedelta(days=ago)))
    found, _ = earlier(tmp_path, MONDAY)
    assert found
    assert found.written == MONDAY - timedelta(days=7)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"written": "2026-11-23"}',
        msgspec.json.encode(facts(date(2026, 11, 23), format=2)),  # of another version
        msgspec.json.encode(facts(date(2026, 11, 23), final=FinalWeek(date(2026, 10, 12), 0, 0))),  # has no rate
        msgspec.json.encode(facts(date(2026, 11, 22))),  # a copy of another day's
        b'{"other": ' + b"[" * 6_000_000,
    ],
    ids=lambda content: f"{len(content)} bytes",
)
def test_what_cannot_be_read_is_named_and_the_one_before_is_used(tmp_path: Path, content: bytes) -> None:
    keep(tmp_path, "", facts(date(2026, 11, 16)))
    (tmp_path / FOLDER / "engagement_report_2026-11-23.json").write_bytes(content)
    found, unreadable = earlier(tmp_path, MONDAY)
    assert found
    assert found.written == date(2026, 11, 16)
    assert unreadable == ["engagement_report_2026-11-23.json"]


def test_without_a_folder_there_is_no_earlier_report(tmp_path: Path) -> None:
    assert earlier(tmp_path / "nowhere", MONDAY) == (None, [])
    (tmp_path / FOLDER).write_text("a file")
    assert earlier(tmp_path, MONDAY) == (None, [])


def test_the_oldest_are_removed_and_other_files_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    others = ["engagement_report_1999-01-01.txt", "engagement_report_1999-13-01.html", "notes.html"]
    for name in others:
        (folder / name).write_text("not ours")
    (folder / "engagement_report_1999-01-02.html").symlink_to("notes.html")
    (folder / "engagement_report_1999-01-03.json").mkdir()
    for day in range(KEPT + 2):
        (folder / f"engagement_report_{date(2026, 1, 1) + timedelta(days=day)}.html").write_text("a report")
    keep(tmp_path, "", facts())
    kept = [name for name in names(tmp_path) if name.startswith("engagement_report_2026") and name.endswith(".html")]
    assert len(kept) == 53
    assert (kept[0], kept[-1]) == ("engagement_report_2026-01-04.html", "engagement_report_2026-11-30.html")
    assert {*others, "engagement_report_1999-01-02.html", "engagement_report_1999-01-03.json"} <= set(names(tmp_path))


def test_a_link_in_place_of_a_kept_report_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "engagement_report_2026-11-30.html").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WarehouseError, match="it is a symbolic link"):
        keep(tmp_path, "", facts())
    assert not (tmp_path / "elsewhere").exists()


def test_what_a_killed_process_left_on_another_day_is_removed(tmp_path: Path) -> None:
    left = tmp_path / FOLDER / ".engagement_report_2026-11-23.html.writing-abcdefgh"
    left.mkdir(parents=True, mode=0o700)
    keep(tmp_path, "", facts())
    assert not left.exists()
