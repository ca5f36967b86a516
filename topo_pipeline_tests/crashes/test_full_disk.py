"""After a full disk, or a process that is killed during a write, the earlier data is still there."""

import shutil
import signal
from pathlib import Path

import pytest

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.crashes.children import (
    land_with_size_limit,
    load,
    load_killed_at_size_limit,
    load_with_size_limit,
)
from topo_pipeline_tests.crashes.day_checks import landed_days, read_all, without_waiting
from topo_pipeline_tests.crashes.source import DAYS, NEW
from topo_pipeline_tests.warehouse.builders import LATER, activity, land_into, reading, snapshot
from topo_pipeline_tests.warehouse.processes import Child

ROW_GROUP = 10_240  # activities that DuckDB writes into the file at once, before the COMMIT


@pytest.fixture(scope="module")
def log_size(old_warehouse: Path, new_api: str, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Return the number of bytes that the first day's COMMIT writes to the log."""
    target = shutil.copy(old_warehouse, tmp_path_factory.mktemp("log"))
    first_day_is_committed = ("committed", 3)  # after the time zone and the organization
    child = Child(load, target, new_api, NEW.now, first_day_is_committed)
    child.receive_all()
    assert child.wait() == -signal.SIGKILL
    return Path(f"{target}.wal").stat().st_size


def next_load_completes(target: str, api_url: str) -> bool:
    """Return whether the next load, with enough space, updates every day to its new version."""
    outcomes = read_all(target, api_url, NEW, "3 again")
    return all(isinstance(outcome, Load) for outcome in outcomes) and all(day.is_new() for day in landed_days(target))


@pytest.mark.parametrize("share", [pytest.param(0.0, marks=pytest.mark.full), 0.99])
def test_a_commit_without_disk_space_keeps_the_old_day_and_is_a_one_line_error(
    target: str, log_size: int, new_api: str, share: float
) -> None:
    child = Child(load_with_size_limit, target, new_api, NEW.now, int(share * log_size))
    [message] = child.receive_all()
    assert child.wait() == 0
    assert target in message
    assert "File too large" in message  # the system's message; for a full disk it is "No space left on device"
    assert "\n" not in message
    assert [day.is_new() for day in landed_days(target)] == [False] * len(DAYS)
    assert next_load_completes(target, new_api)


def test_a_large_day_without_disk_space_keeps_the_old_day(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    land_into(warehouse, reading(activity(1)))
    before = snapshot(warehouse)
    child = Child(land_with_size_limit, warehouse.target, 2 * ROW_GROUP, 1000)
    message = child.receive()
    assert child.wait() == 0
    assert warehouse.target in message
    assert "\n" not in message
    assert snapshot(warehouse) == before
    assert land_into(without_waiting(warehouse.target), reading(activity(2), activity(3)), now=LATER).rows == 2


@pytest.mark.parametrize("share", [pytest.param(0.01, marks=pytest.mark.full), 0.5, 1.0])
def test_a_kill_during_a_write_leaves_complete_days(target: str, log_size: int, new_api: str, share: float) -> None:
    assert Child(load_killed_at_size_limit, target, new_api, NEW.now, int(share * log_size)).wait() == -signal.SIGXFSZ
    assert [day.is_new() for day in landed_days(target)] == [share == 1.0, False, False]
    assert next_load_completes(target, new_api)


@pytest.mark.parametrize("room", [1, 200_000])
def test_a_kill_during_a_checkpoint_leaves_complete_days(target: str, new_api: str, room: int) -> None:
    largest_file = Path(target).stat().st_size + room  # 200,000 bytes end within a block
    assert Child(load_killed_at_size_limit, target, new_api, NEW.now, largest_file).wait() == -signal.SIGXFSZ
    is_new = [day.is_new() for day in landed_days(target)]
    assert is_new == sorted(is_new, reverse=True)
    assert is_new[0]
    assert next_load_completes(target, new_api)
