"""A load of three days is killed at fifty points: each time the days are whole and the next load completes."""

import hashlib
import signal
from collections import Counter
from pathlib import Path

import pytest

from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.crashes.children import Child, Point, load
from topo_pipeline_tests.crashes.source import DAYS, NEW, OLD
from topo_pipeline_tests.crashes.whole_days import found, read_all

KILLS = 50


def fatal_points(points: list[str]) -> list[Point]:
    """Fifty of them: right before and right after every COMMIT, the others evenly spread over what was once done."""
    times = Counter[str]()
    others, around = [], []
    for name in points:
        times[name] += 1
        (around if name in ("commit", "committed") else others).append((name, times[name]))
    wanted = KILLS - len(around)
    return around + [others[n * (len(others) - 1) // (wanted - 1)] for n in range(wanted)]


def test_there_is_something_to_add_to_change_and_to_take_away_on_every_day() -> None:
    for day in DAYS:
        old, new = OLD.payloads(day), NEW.payloads(day)
        assert new.keys() - old.keys()
        assert old.keys() - new.keys()
        assert any(old[id_] != new[id_] for id_ in old.keys() & new.keys())


def test_the_points_are_fifty_from_the_first_to_the_last_and_around_every_commit(points: list[str]) -> None:
    fatal = fatal_points(points)
    assert len(set(fatal)) == KILLS
    assert {(points[0], 1), (points[-1], points.count(points[-1]))} < set(fatal)
    commits = 2 + len(DAYS)  # the zone, the organization, the days
    assert {(when, n) for when in ("commit", "committed") for n in range(1, commits + 1)} < set(fatal)
    assert points.count("commit") == points.count("committed") == commits
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
    child = Child(load, target, new_api, NEW.now, fatal_points(points)[nth])
    done = child.hears_all()
    assert child.ends() == -signal.SIGKILL

    left = disk_image(target)
    committed = {done.count(point) - 2 for point in ("commit", "committed")}  # in the midst of one, either is right
    is_new = [day.is_new() for day in found(target)]
    assert is_new in [[n < days for n in range(len(DAYS))] for days in committed], done
    if left not in completed:
        assert all(isinstance(outcome, Load) for outcome in read_all(target, new_api, NEW, "3 again"))
        assert [day.is_new() for day in found(target)] == [True] * len(DAYS)
        completed.add(left)
