"""A load of three days is killed at fifty points: each time the days are whole and the next load completes."""

import hashlib
import signal
from pathlib import Path

import pytest

from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.crashes.children import Child, load
from topo_pipeline_tests.crashes.source import DAYS, NEW, OLD
from topo_pipeline_tests.crashes.whole_days import found, read_all

KILLS = 50


def fatal_points(points: list[str]) -> list[int]:
    """Fifty of them: right before and right after every COMMIT, the others evenly spread; counted from 1."""
    commits = [number for number, name in enumerate(points, start=1) if name == "commit"]
    around = {near for commit in commits for near in (commit, commit + 1)}
    others = [number for number in range(1, len(points) + 1) if number not in around]
    wanted = KILLS - len(around)
    spread = {others[n * (len(others) - 1) // (wanted - 1)] for n in range(wanted)}
    return sorted(around | spread)


def test_there_is_something_to_add_to_change_and_to_take_away_on_every_day() -> None:
    for day in DAYS:
        old, new = OLD.payloads(day), NEW.payloads(day)
        assert new.keys() - old.keys()
        assert old.keys() - new.keys()
        assert any(old[id_] != new[id_] for id_ in old.keys() & new.keys())


def test_the_points_are_fifty_from_the_first_to_the_last_and_around_every_commit(points: list[str]) -> None:
    fatal = fatal_points(points)
    assert (len(fatal), fatal[0], fatal[-1]) == (KILLS, 1, len(points))
    assert points.count("commit") == 2 + len(DAYS)  # the zone, the organization, the days
    assert sum(name.startswith("ask ") for name in points) > len(DAYS)


def disk_image(target: str) -> str:
    """All that a dead process left to the next one: the file and its log."""
    log = Path(f"{target}.wal")
    return hashlib.sha256(Path(target).read_bytes() + (log.read_bytes() if log.exists() else b"")).hexdigest()


@pytest.fixture(scope="module")
def completed() -> set[str]:
    """The disk images from which the next load was seen to complete: between two commits they are all the same."""
    return set()


@pytest.mark.parametrize("nth", range(KILLS))
def test_a_kill_leaves_whole_days_and_books_that_agree_and_the_next_load_completes(
    nth: int, points: list[str], completed: set[str], target: str, new_api: str
) -> None:
    fatal = fatal_points(points)[nth]

    assert Child(load, target, new_api, NEW.now, fatal).ends() == -signal.SIGKILL

    left, done = disk_image(target), points[: fatal - 1]
    committed = max(done.count("commit") - 2, 0)
    assert [day.is_new() for day in found(target)] == [n < committed for n in range(len(DAYS))], done
    if left not in completed:
        assert all(isinstance(outcome, Load) for outcome in read_all(target, new_api, NEW, "3 again"))
        assert [day.is_new() for day in found(target)] == [True] * len(DAYS)
        completed.add(left)
