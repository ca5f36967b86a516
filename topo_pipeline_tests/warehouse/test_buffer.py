"""Activities are kept in a buffer, on disk if they are many, and land as they were received."""

import tempfile
from pathlib import Path

import pytest

from topo_pipeline.warehouse.buffer import Buffer
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.landing import land
from topo_pipeline_tests.warehouse.builders import (
    HOSTILE,
    LANDED,
    LONE_SURROGATE,
    Activity,
    activity,
    frame,
    land_into,
    noon,
    payloads,
    reading,
    records,
    uuid_of,
)

READ = [
    activity(1, {"type": "message.sent", "personId": uuid_of(7), "note": HOSTILE}),
    activity(2, {"type": "message.opened", "metadata": {"step_number": 3}}),
    activity(3, LONE_SURROGATE),
    activity(4, {"type": "task.created", "channel": "MANUAL"}),
]
PAYLOAD_LENGTH = 20_000


@pytest.fixture
def _little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a buffer keep about fifteen hundred payloads of `PAYLOAD_LENGTH` in memory, half of the usual number."""
    monkeypatch.setattr("topo_pipeline.warehouse.buffer.MEMORY", 32_000_000)


def land_buffer(warehouse: Warehouse, buffer: Buffer, count: int) -> None:
    with warehouse.transaction(buffer=buffer) as connection:
        land(connection, reading(activities=buffer, api_total_count=count), run_id="run", now=LANDED)


def landed(warehouse: Warehouse) -> list[dict[str, object]]:
    rows = records(warehouse, "topo.activities") + records(warehouse, "topo.rejects")
    return [{name: value for name, value in row.items() if name != "load_id"} for row in rows]


def test_activities_added_in_parts_land_as_if_added_at_once(tmp_path: Path) -> None:
    in_parts, at_once = (Warehouse(str(tmp_path / f"{name}.duckdb")) for name in ("parts", "once"))
    with Buffer() as buffer:
        for each in READ:
            buffer.add(frame(each))
        land_buffer(in_parts, buffer, len(READ))
    land_into(at_once, reading(*READ))
    assert landed(in_parts) == landed(at_once)
    assert len(landed(at_once)) == len(READ)


@pytest.mark.parametrize("together", [True, False], ids=["in one part", "in two parts"])
def test_the_last_version_of_a_repeated_activity_lands(tmp_path: Path, together: bool) -> None:
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    versions = ['{"type":"message.sent","v":1}', '{"type":"message.sent","v":2}']
    received: list[Activity] = [activity(1, versions[0]), activity(2, "{}"), activity(1, versions[1])]
    with Buffer() as buffer:
        for part in [received] if together else [received[:1], received[1:]]:
            buffer.add(frame(*part))
        land_buffer(warehouse, buffer, 2)
    assert payloads(warehouse) == {uuid_of(1): versions[1], uuid_of(2): "{}"}


def test_cleared_activities_do_not_land(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    with Buffer() as buffer:
        buffer.add(frame(activity(1), activity(2)))
        buffer.clear()
        buffer.add(frame(activity(3)))
        land_buffer(warehouse, buffer, 1)
    assert payloads(warehouse).keys() == {uuid_of(3)}


def test_empty_parts_are_ignored(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    with Buffer() as buffer:
        for part in ([], [activity(1)], []):
            buffer.add(frame(*part))
        land_buffer(warehouse, buffer, 1)
    assert payloads(warehouse).keys() == {uuid_of(1)}


@pytest.mark.usefixtures("_little_memory")
def test_a_day_larger_than_memory_is_stored_on_disk_and_lands_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    sent = [activity(number, f'{{"note":"{number:0{PAYLOAD_LENGTH}}"}}') for number in range(2_000)]
    with Buffer() as buffer:
        for first in range(0, len(sent), 500):
            buffer.add(frame(*sent[first : first + 500]))
        assert buffer.connection
        assert sum(file.stat().st_size for file in temporary.rglob("*") if file.is_file()) > 0
        land_buffer(warehouse, buffer, len(sent))
    assert payloads(warehouse) == {id_: payload for id_, _, payload in sent}
    assert not [*temporary.iterdir()]


def test_long_payloads_are_parsed_a_few_at_a_time_and_all_land(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topo_pipeline.warehouse.buffer.CHARACTERS_AT_ONCE", 100)
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    first, again = ([activity(n, f'{{"type":"task.created","note":"{n:0{at}}"}}') for n in range(9)] for at in (20, 30))
    for count, sent in ((9, first), (8, [*first[:4], *again[4:8]])):
        with Buffer() as buffer:
            buffer.add(frame(*sent))
            assert len([*buffer.slices()]) > 1
            land_buffer(warehouse, buffer, count)
        assert payloads(warehouse) == {id_: payload for id_, _, payload in sent}
        assert {row["type"] for row in records(warehouse, "topo.activities")} == {"task.created"}


def test_a_failed_reading_leaves_nothing_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ConnectionError), Buffer() as buffer:
        buffer.add(frame(activity(1)))
        assert [*tmp_path.iterdir()]
        raise ConnectionError
    assert not [*tmp_path.iterdir()]


def test_an_unusable_temporary_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(WarehouseError, match=r"TMPDIR.*gone"):
        Buffer()


@pytest.mark.usefixtures("_little_memory")
def test_a_full_temporary_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    with Buffer() as buffer:
        buffer.connection.execute("SET max_temp_directory_size = '1MB'")
        with pytest.raises(WarehouseError, match=r"can't be stored in .*topo_pipeline.*TMPDIR"):
            for first in range(0, 4_000, 500):
                buffer.add(
                    frame(*(activity(n, f'{{"note":"{n:0{PAYLOAD_LENGTH}}"}}') for n in range(first, first + 500)))
                )
            assert buffer.connection
        buffer.clear()
        buffer.add(frame(activity(1)))
        land_buffer(warehouse, buffer, 1)
    assert payloads(warehouse).keys() == {uuid_of(1)}


def test_a_buffer_can_be_landed_in_several_warehouses(tmp_path: Path) -> None:
    with Buffer() as buffer:
        buffer.add(frame(activity(1)))
        for name in ("one", "other"):
            warehouse = Warehouse(str(tmp_path / f"{name}.duckdb"))
            land_buffer(warehouse, buffer, 1)
            assert payloads(warehouse).keys() == {uuid_of(1)}  # the buffer has not locked the file


def test_times_keep_their_microseconds(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    moment = noon().replace(microsecond=123_456)
    land_into(warehouse, reading(activity(1, at=moment)))
    assert [row["created_at"] for row in records(warehouse, "topo.activities")] == [moment]


def test_landing_leaves_no_tables_in_the_buffer(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))

    def tables(buffer: Buffer) -> set[tuple[str]]:
        return set(buffer.connection.execute("SELECT table_name FROM duckdb_tables()").fetchall())

    with Buffer() as buffer:
        before = tables(buffer)
        buffer.add(frame(activity(1)))
        land_buffer(warehouse, buffer, 1)
        assert tables(buffer) == before


def test_a_buffer_returns_unlabelled_messages_and_all_messages() -> None:
    received = [
        activity(1, {"type": "message.sent"}),
        activity(2, {"type": "message.sent", "channel": "EMAIL"}),
        activity(3, {"type": "message.replied", "channel": ""}),
        activity(4, {"type": "message.opened"}),
        activity(5, {"type": "invitation.sent"}),
        activity(6, {"type": "task.created"}),
        activity(7, {"type": "message_draft.made", "resourceType": "MESSAGE"}),
        activity(8, LONE_SURROGATE),
        activity(1, {"type": "message.sent"}),
    ]
    with Buffer() as buffer:
        for part in (received[:4], received[4:]):
            buffer.add(frame(*part))
        assert buffer.unlabelled(["message.sent", "message.replied"]) == {uuid_of(1), uuid_of(3)}
        assert buffer.messages(frame()) == {uuid_of(number) for number in (1, 2, 3, 4, 7)}
        others = frame(activity(9, {"type": "message.sent"}), activity(10, {"type": "task.created"}))
        assert buffer.messages(others) == {uuid_of(number) for number in (1, 2, 3, 4, 7, 9)}
        buffer.clear()
        assert buffer.unlabelled(["message.sent"]) == buffer.messages(frame()) == set()


def test_messages_are_recognized_by_type_or_resource_type() -> None:
    with Buffer() as buffer:
        buffer.add(
            frame(
                activity(1, {"type": "message.sent", "resource_type": "LETTER"}),
                activity(2, {"type": "letter.sent", "resource_type": "message"}),
                activity(3, {"type": "message_draft.made"}),
            )
        )
        assert buffer.messages(frame()) == {uuid_of(1), uuid_of(2)}


def test_more_ids_than_one_batch_are_all_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topo_pipeline.warehouse.buffer._IDS_AT_ONCE", 2)
    with Buffer() as buffer:
        buffer.add(frame(*(activity(number) for number in range(5))))
        assert buffer.messages(frame()) == buffer.unlabelled(["message.sent"]) == {uuid_of(n) for n in range(5)}
