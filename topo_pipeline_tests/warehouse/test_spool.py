"""What is read goes by way of the disk, and lands as if it had been in memory all the time."""

from pathlib import Path

import pandas as pd
import pytest

from topo_pipeline.warehouse import spool as spooling
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.spool import Spool
from topo_pipeline_tests.warehouse.builders import (
    HOSTILE,
    LONE_SURROGATE,
    Activity,
    activity,
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


def frame(*activities: Activity) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [id_ for id_, _, _ in activities],
            "created_at": pd.to_datetime([at for _, at, _ in activities], utc=True),
            "payload": [payload for _, _, payload in activities],
        }
    )


@pytest.fixture
def written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "PART", 1)


def landed(warehouse: Warehouse, spool: Spool) -> list[dict[str, object]]:
    land_into(warehouse, reading(activities=spool, api_total_count=4, labels={uuid_of(1): "LINKEDIN"}))
    rows = records(warehouse, "topo.activities") + records(warehouse, "topo.rejects")
    return [{name: value for name, value in row.items() if name != "load_id"} for row in rows]


@pytest.mark.usefixtures("written_at_once")
def test_what_went_by_way_of_the_disk_lands_as_what_was_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Spool() as spool:
        for each in READ:
            spool.add(frame(each))
        assert len(spool.files) == len(READ) - 1  # the last rows stay in memory
        by_disk = landed(Warehouse(str(tmp_path / "disk.duckdb")), spool)
    monkeypatch.undo()
    with Spool() as spool:
        spool.add(frame(*READ))
        assert not spool.files
        assert by_disk == landed(Warehouse(str(tmp_path / "memory.duckdb")), spool)
    assert len(by_disk) == len(READ)


@pytest.mark.parametrize("part", [1, 2, 1000], ids=["in two files", "in one file", "in memory"])
def test_of_an_activity_that_came_twice_the_last_version_lands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    monkeypatch.setattr(spooling, "PART", part)
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    versions = ['{"type":"message.sent","v":1}', '{"type":"message.sent","v":2}']
    with Spool() as spool:
        for version in versions:
            spool.add(frame(activity(1, version)))
        spool.add(frame(activity(2, "{}")))
        land_into(warehouse, reading(activities=spool, api_total_count=2))
    assert payloads(warehouse) == {uuid_of(1): versions[1], uuid_of(2): "{}"}


@pytest.mark.usefixtures("written_at_once")
def test_what_is_let_go_of_does_not_land(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    with Spool() as spool:
        spool.add(frame(activity(1)))
        spool.add(frame(activity(2)))
        spool.clear()
        spool.add(frame(activity(3)))
        land_into(warehouse, reading(activities=spool, api_total_count=1))
    assert payloads(warehouse).keys() == {uuid_of(3)}


@pytest.mark.usefixtures("written_at_once")
def test_nothing_is_left_on_the_disk_even_where_the_reading_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ConnectionError), Spool() as spool:
        spool.add(frame(activity(1)))
        spool.add(frame(activity(2)))
        assert [*tmp_path.iterdir()]
        raise ConnectionError
    assert not [*tmp_path.iterdir()]


@pytest.mark.usefixtures("written_at_once")
def test_a_folder_that_takes_nothing_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with Spool() as spool:
        spool.add(frame(activity(1)))
        with pytest.raises(WarehouseError, match=r"can't be kept in .*gone.*TMPDIR"):
            spool.add(frame(activity(2)))


def test_an_instant_keeps_its_microseconds_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "PART", 1)
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    moment = noon().replace(microsecond=123_456)
    with Spool() as spool:
        spool.add(frame(activity(1, at=moment)))
        spool.add(frame(activity(2, at=moment)))
        land_into(warehouse, reading(activities=spool, api_total_count=2))
    assert [row["created_at"] for row in records(warehouse, "topo.activities")] == [moment] * 2
