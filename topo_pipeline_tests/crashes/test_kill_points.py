"""A load of three days is killed at many points: each time the days are whole and the next load completes."""

import re
import signal
from collections import Counter

import pytest

from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.crashes.children import Point, load
from topo_pipeline_tests.crashes.source import DAYS, NEW, OLD
from topo_pipeline_tests.crashes.whole_days import found, read_all
from topo_pipeline_tests.warehouse.processes import Child

COMMITS = 2 + len(DAYS)  # the zone, the organization, the days
AROUND_COMMITS: list[Point] = [(when, n) for n in range(1, COMMITS + 1) for when in ("commit", "committed")]
# On the second of three days: before and after a request, before each statement that writes to the warehouse, and after
# the landing.
WITHIN_A_DAY: list[Point] = [
    ("ask /v1/activities", 2),
    ("answer of /v1/activities", 2),
    ("execute DELETE FROM topo.activities WHERE", 2),
    ("execute INSERT INTO topo.activities SELECT", 2),
    ("execute INSERT INTO topo.activity_changes SELECT", 2),
    ("execute INSERT INTO topo.rejects SELECT", 2),
    ("execute INSERT INTO topo.loads (day,", 2),
    ("landed 2026-03-03", 1),
]
EVENLY_SPREAD = 32


def evenly_spread(points: list[str]) -> list[Point]:
    """Thirty-two of all that a load does, the first and the last among them."""
    times = Counter[str]()
    numbered = []
    for name in points:
        times[name] += 1
        numbered.append((name, times[name]))
    return [numbered[n * (len(numbered) - 1) // (EVENLY_SPREAD - 1)] for n in range(EVENLY_SPREAD)]


def test_there_is_something_to_add_to_change_and_to_take_away_on_every_day() -> None:
    for day in DAYS:
        old, new = OLD.payloads(day), NEW.payloads(day)
        assert new.keys() - old.keys()
        assert old.keys() - new.keys()
        assert any(old[id_] != new[id_] for id_ in old.keys() & new.keys())


def test_the_load_commits_that_often_and_writes_with_these_statements_alone(points: list[str]) -> None:
    assert points.count("commit") == points.count("committed") == COMMITS
    writing = {name for name in points if re.match(r"execute (INSERT|UPDATE|DELETE|MERGE)\b.* topo\.", name)}
    assert writing == {name for name, _ in WITHIN_A_DAY if name.startswith("execute")}


def assert_a_kill_leaves_whole_days(fatal: Point, target: str, api_url: str) -> None:
    """Kill a load there: the days are whole and the books agree."""
    child = Child(load, target, api_url, NEW.now, fatal)
    done = child.hears_all()
    assert child.ends() == -signal.SIGKILL, f"{fatal} was not reached"

    committed = {done.count(point) - 2 for point in ("commit", "committed")}  # in the midst of one, either is right
    is_new = [day.is_new() for day in found(target)]
    assert is_new in [[n < days for n in range(len(DAYS))] for days in committed], done


def assert_the_next_load_completes(target: str, api_url: str) -> None:
    assert all(isinstance(outcome, Load) for outcome in read_all(target, api_url, NEW, "3 again"))
    assert [day.is_new() for day in found(target)] == [True] * len(DAYS)


@pytest.mark.parametrize("fatal", AROUND_COMMITS, ids=lambda point: f"{point[0]} {point[1]}")
def test_a_kill_around_a_commit_leaves_whole_days_and_books_that_agree_and_the_next_load_completes(
    fatal: Point, target: str, new_api: str
) -> None:
    assert_a_kill_leaves_whole_days(fatal, target, new_api)
    assert_the_next_load_completes(target, new_api)


@pytest.mark.parametrize("fatal", WITHIN_A_DAY, ids=lambda point: f"{point[0]} {point[1]}")
def test_a_kill_within_a_day_leaves_whole_days_and_books_that_agree(fatal: Point, target: str, new_api: str) -> None:
    assert_a_kill_leaves_whole_days(fatal, target, new_api)


@pytest.mark.full
@pytest.mark.parametrize("nth", range(EVENLY_SPREAD))
def test_so_does_a_kill_anywhere_else_and_the_next_load_completes(
    nth: int, points: list[str], target: str, new_api: str
) -> None:
    assert_a_kill_leaves_whole_days(evenly_spread(points)[nth], target, new_api)
    assert_the_next_load_completes(target, new_api)
