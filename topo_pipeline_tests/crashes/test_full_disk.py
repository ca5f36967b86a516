"""A disk that is full, or a process that dies in the midst of a write, costs the load, not what was there."""

import shutil
import signal
from pathlib import Path

import pytest

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.crashes.children import (
    land_with_little_room,
    load,
    load_to_be_torn,
    load_with_little_room,
)
from topo_pipeline_tests.crashes.source import DAYS, NEW
from topo_pipeline_tests.crashes.whole_days import at_once, found, read_all
from topo_pipeline_tests.warehouse.builders import LATER, activity, land_into, reading, snapshot
from topo_pipeline_tests.warehouse.processes import Child

ROW_GROUP = 10_240  # activities that DuckDB writes into the file at once, before the COMMIT


@pytest.fixture(scope="module")
def log_size(old_warehouse: Path, new_api: str, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Bytes that the first day's COMMIT writes to the log, before they go into the file."""
    target = shutil.copy(old_warehouse, tmp_path_factory.mktemp("log"))
    first_day_is_committed = ("committed", 3)  # after the zone and the organization
    child = Child(load, target, new_api, NEW.now, first_day_is_committed)
    child.hears_all()
    assert child.ends() == -signal.SIGKILL
    return Path(f"{target}.wal").stat().st_size


def completes(target: str, api_url: str) -> bool:
    """Whether the next load, which has room, brings every day to its new version."""
    outcomes = read_all(target, api_url, NEW, "3 again")
    return all(isinstance(outcome, Load) for outcome in outcomes) and all(day.is_new() for day in found(target))


@pytest.mark.parametrize("share", [pytest.param(0.0, marks=pytest.mark.full), 0.99])
def test_where_a_commit_finds_no_room_the_old_day_stays_and_one_sentence_says_why(
    target: str, log_size: int, new_api: str, share: float
) -> None:
    child = Child(load_with_little_room, target, new_api, NEW.now, int(share * log_size))
    [said] = child.hears_all()
    assert child.ends() == 0
    assert target in said
    assert "File too large" in said  # as the system puts it; of a full disk it says "No space left on device"
    assert "\n" not in said
    assert [day.is_new() for day in found(target)] == [False] * len(DAYS)
    assert completes(target, new_api)


def test_where_a_large_day_finds_no_room_the_old_day_stays(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    land_into(warehouse, reading(activity(1)))
    before = snapshot(warehouse)
    child = Child(land_with_little_room, warehouse.target, 2 * ROW_GROUP, 1000)
    said = child.hears()
    assert child.ends() == 0
    assert warehouse.target in said
    assert "\n" not in said
    assert snapshot(warehouse) == before
    assert land_into(at_once(warehouse.target), reading(activity(2), activity(3)), now=LATER).rows == 2


@pytest.mark.parametrize("share", [pytest.param(0.01, marks=pytest.mark.full), 0.5, 1.0])
def test_a_kill_in_the_midst_of_a_write_leaves_whole_days(
    target: str, log_size: int, new_api: str, share: float
) -> None:
    assert Child(load_to_be_torn, target, new_api, NEW.now, int(share * log_size)).ends() == -signal.SIGXFSZ
    assert [day.is_new() for day in found(target)] == [share == 1.0, False, False]
    assert completes(target, new_api)


@pytest.mark.parametrize("room", [1, 200_000])
def test_a_kill_while_the_file_takes_in_what_was_committed_leaves_whole_days(
    target: str, new_api: str, room: int
) -> None:
    largest_file = Path(target).stat().st_size + room  # the latter cuts a block in two
    assert Child(load_to_be_torn, target, new_api, NEW.now, largest_file).ends() == -signal.SIGXFSZ
    is_new = [day.is_new() for day in found(target)]
    assert is_new == sorted(is_new, reverse=True)
    assert is_new[0]
    assert completes(target, new_api)
