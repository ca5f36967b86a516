"""Retention empties the text of older payloads and changes no column and no metric table."""

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from topo_pipeline.maintenance import retention
from topo_pipeline.maintenance.retention import empty_payloads
from topo_pipeline.warehouse.buffer import Buffer
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import NotCompacted
from topo_pipeline.warehouse.replies import Version, landed_replies, replies_among
from topo_pipeline_tests.engagement.helpers import KEPT, Workspace, canonical, enrolled, march, opened, replied, sent
from topo_pipeline_tests.warehouse.builders import (
    DAY,
    LATER,
    NEXT_DAY,
    Activity,
    activity,
    ask,
    frame,
    land_into,
    path_of,
    reading,
    snapshot,
    uuid_of,
)
from topo_pipeline_tests.warehouse.test_erasure import bind

WORDS = "the words of a person, long enough to be found in the bytes of a file"
CUT = ((f'{{"id":"x","text":"{WORDS}', "cut"),)


def reply(number: int, category: str = "INTERESTED", **more: Any) -> Activity:
    details = {"replyCategory": category, "stepNumber": 2}
    return activity(number, {"type": "message.replied", "channel": "EMAIL", "metadata": details, **more})


@pytest.fixture(scope="module")
def emptied_file(tmp_path_factory: pytest.TempPathFactory, empty_file: Path) -> Path:
    file = Path(shutil.copy(empty_file, tmp_path_factory.mktemp("emptied")))
    land_into(Warehouse(str(file)), reading(reply(1), reply(2)))
    empty_payloads(Warehouse(str(file)), NEXT_DAY)
    return file


@pytest.fixture
def emptied(emptied_file: Path, tmp_path: Path) -> Warehouse:
    """A warehouse with a day of two replies, whose payloads are emptied."""
    return Warehouse(str(shutil.copy(emptied_file, tmp_path)))


def test_payloads_of_earlier_days_are_emptied_and_nothing_else_changes(warehouse: Warehouse) -> None:
    land_into(warehouse, reading(reply(1, v=1), reply(2), rejects=CUT))
    land_into(warehouse, reading(reply(1, v=2), reply(2), rejects=CUT), LATER)
    land_into(warehouse, reading(reply(3), day=NEXT_DAY, rejects=CUT))
    columns = "SELECT * EXCLUDE (payload) FROM topo.activities ORDER BY id"
    others = "SELECT * EXCLUDE (payload) FROM topo.activity_changes ORDER BY id"
    ledger = "SELECT * FROM topo.loads ORDER BY load_id"
    before = [ask(warehouse, sql) for sql in (columns, others, ledger)]
    assert empty_payloads(warehouse, NEXT_DAY) == 4
    assert [ask(warehouse, sql) for sql in (columns, others, ledger)] == before
    texts = {
        "topo.activities": "payload",
        "topo.activity_changes": "payload",
        "topo.rejects": "raw",
    }
    for table, text in texts.items():
        empty = ask(warehouse, f"SELECT DISTINCT day, {text} = '' FROM {table} ORDER BY day")  # noqa: S608
        assert empty in ([(DAY, True), (NEXT_DAY, False)], [(DAY, True)])
    assert empty_payloads(warehouse, NEXT_DAY) == 0


def test_emptied_text_is_removed_from_the_files(warehouse: Warehouse, tmp_path: Path) -> None:
    land_into(warehouse, reading(reply(1, text=WORDS), rejects=CUT))
    land_into(warehouse, reading(reply(1, text=f"{WORDS}."), rejects=CUT), LATER)
    assert contains_words(tmp_path)
    empty_payloads(warehouse, NEXT_DAY)
    assert not contains_words(tmp_path)


def contains_words(folder: Path) -> bool:
    return any(WORDS.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_failed_compaction_is_repeated_the_next_time(
    file_warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind(file_warehouse)
    land_into(file_warehouse, reading(reply(1, text=WORDS)))

    def full_disk(_: Warehouse) -> None:
        raise NotCompacted("no room")

    with monkeypatch.context() as patch, pytest.raises(NotCompacted):
        patch.setattr(retention, "compact", full_disk)
        empty_payloads(file_warehouse, NEXT_DAY)
    assert empty_payloads(file_warehouse, NEXT_DAY) == 0
    assert not contains_words(tmp_path)
    inode = path_of(file_warehouse).stat().st_ino
    assert empty_payloads(file_warehouse, NEXT_DAY) == 0
    assert path_of(file_warehouse).stat().st_ino == inode  # there was nothing left to do


def test_reloading_an_emptied_day_changes_nothing(emptied: Warehouse) -> None:
    before = snapshot(emptied, "activities", "activity_changes")
    again = land_into(emptied, reading(reply(1), reply(2)), LATER)
    assert (again.added, again.changed, again.removed) == (0, 0, 0)
    assert snapshot(emptied, "activities", "activity_changes") == before


@pytest.mark.parametrize(
    "other",
    [
        reply(1, category="NOT_INTERESTED"),
        reply(1, person_id=uuid_of(9)),
        reply(1, messageId="msg_1"),
        activity(1, {"type": "message.replied", "channel": "LINKEDIN", "metadata": {"replyCategory": "INTERESTED"}}),
        (reply(1)[0], reply(1)[1] + timedelta(seconds=1), reply(1)[2]),
    ],
    ids=["category", "person", "message", "channel", "time"],
)
def test_a_row_with_a_changed_column_is_landed_with_its_payload(emptied: Warehouse, other: Activity) -> None:
    again = land_into(emptied, reading(other, reply(2)), LATER)
    assert (again.added, again.changed, again.removed) == (0, 1, 0)
    texts = ask(emptied, "SELECT payload FROM topo.activities ORDER BY id")
    assert texts == [(other[2],), ("",)]
    assert ask(emptied, "SELECT payload FROM topo.activity_changes") == [("",)]


def test_an_emptied_reply_counts_as_unchanged_until_it_is_reclassified(emptied: Warehouse) -> None:
    with emptied.reader() as connection:
        landed = landed_replies(connection, [DAY])[DAY]
    assert shown(emptied, reply(1), reply(2)) == landed
    assert shown(emptied, reply(1), reply(2, category="REFERRAL")) != landed
    assert shown(emptied, reply(1)) < landed


def shown(warehouse: Warehouse, *replies: Activity) -> set[Version]:
    with Buffer() as buffer:
        buffer.add(frame(*replies))
        with warehouse.reader(buffer=buffer):
            return replies_among(buffer, reading().rejects)


def test_metric_tables_do_not_change_even_with_a_full_refresh(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "topo.duckdb"))
    workspace.land_all([enrolled(march(1)), sent(march(1, 10)), opened(march(2)), replied(march(3), step=1)])
    workspace.build(*KEPT)  # only these read activities
    before = {name: canonical(workspace.rows(name)) for name in KEPT}
    empty_payloads(workspace.warehouse, date(2026, 3, 9))
    assert {name: canonical(Workspace(workspace.target).rows(name)) for name in KEPT} == before
    workspace.build(*KEPT, full_refresh=True)
    assert {name: canonical(workspace.rows(name)) for name in KEPT} == before
