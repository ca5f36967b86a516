"""A load of three days is killed at many points. Each time the days are complete and the next load succeeds."""

import re
import signal
from collections import Counter

import pytest

from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.crashes.children import Point, load
from topo_pipeline_tests.crashes.day_checks import landed_days, read_all
from topo_pipeline_tests.crashes.source import DAYS, NEW, OLD
from topo_pipeline_tests.warehouse.processes import Child

COMMITS = 2 + len(DAYS)  # the time zone, the organization, the days
AROUND_COMMITS: list[Point] = [(when, n) for n in range(1, COMMITS + 1) for when in ("commit", "committed")]
# On the second of three days: before and after a request, before each statement that writes to the warehouse, and after
# landing. Every row of these days can be read, so nothing is written to topo.rejects.
WITHIN_A_DAY: list[Point] = [
    ("request /v1/activities", 2),
    ("response from /v1/activities", 2),
    ("execute DELETE FROM topo.activities WHERE", 2),
    ("execute INSERT INTO topo.activities BY", 2),
    ("execute INSERT INTO topo.activity_changes SELECT", 2),
    ("execute INSERT INTO topo.loads (day,", 2),
    ("landed 2026-03-03", 1),
]
EVENLY_SPREAD = 32


def evenly_spread(points: list[str]) -> list[Point]:
    """Return 32 of a load's operations, including the first and the last."""
    times = Counter[str]()
    numbered = []
    for name in points:
        times[name] += 1
        numbered.append((name, times[name]))
    return [numbered[n * (len(numbered) - 1) // (EVENLY_SPREAD - 1)] for n in range(EVENLY_SPREAD)]


def test_every_day_has_rows_to_add_change_and_remove() -> None:
    for day in DAYS:
        old, new = OLD.payloads(day), NEW.payloads(day)
        assert new.keys() - old.keys()
        assert old.keys() - new.keys()
        assert any(old[id_] != new[id_] for id_ in old.keys() & new.keys())


def test_the_kill_points_cover_every_commit_and_writing_statement(points: list[str]) -> None:
    assert points.count("commit") == points.count("committed") == COMMITS
    writing = {name for name in points if re.match(r"execute (INSERT|UPDATE|DELETE|MERGE)\b.* topo\.", name)}
    assert writing == {name for name, _ in WITHIN_A_DAY if name.startswith("execute")}


def assert_a_kill_leaves_complete_days(kill_point: Point, target: str, api_url: str) -> None:
    """Kill a load at this point. The days must be complete and agree with the ledger."""
    child = Child(load, target, api_url, NEW.now, kill_point)
    operations = child.receive_all()
    assert child.wait() == -signal.SIGKILL, f"{kill_point} was not reached"

    committed = {operations.count(point) - 2 for point in ("commit", "committed")}  # during a commit, either is right
    is_new = [day.is_new() for day in landed_days(target)]
    assert is_new in [[n < days for n in range(len(DAYS))] for days in committed], operations


def assert_the_next_load_completes(target: str, api_url: str) -> None:
    assert all(isinstance(outcome, Load) for outcome in read_all(target, api_url, NEW, "3 again"))
    assert [day.is_new() for day in landed_days(target)] == [True] * len(DAYS)


@pytest.mark.parametrize("kill_point", AROUND_COMMITS, ids=lambda point: f"{point[0]} {point[1]}")
def test_after_a_kill_around_a_commit_days_are_complete_and_the_next_load_succeeds(
    kill_point: Point, target: str, new_api: str
) -> None:
    assert_a_kill_leaves_complete_days(kill_point, target, new_api)
    assert_the_next_load_completes(target, new_api)


@pytest.mark.parametrize("kill_point", WITHIN_A_DAY, ids=lambda point: f"{point[0]} {point[1]}")
def test_after_a_kill_within_a_day_days_are_complete(kill_point: Point, target: str, new_api: str) -> None:
    assert_a_kill_leaves_complete_days(kill_point, target, new_api)


@pytest.mark.full
@pytest.mark.parametrize("nth", range(EVENLY_SPREAD))
def test_after_a_kill_anywhere_days_are_complete_and_the_next_load_succeeds(
    nth: int, points: list[str], target: str, new_api: str
) -> None:
    assert_a_kill_leaves_complete_days(evenly_spread(points)[nth], target, new_api)
    assert_the_next_load_completes(target, new_api)
