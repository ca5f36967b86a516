"""The simulated workspace is the same for the same seed, in any process and any windows."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from statistics import mean

import pytest

from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.world import World

MONDAY = date(2026, 1, 12)
A_WEEK_BEFORE = date(2026, 1, 5)
ONE_DAY = timedelta(days=1)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def activities_on(world: World, day: date) -> list[Activity]:
    """Return the activities of a day. Like a client, read a second more and drop it."""
    found = world.activities(midnight(day) - timedelta(seconds=1), midnight(day + ONE_DAY))
    return [activity for activity in found if activity.created_at >= midnight(day)]


def test_the_same_seed_gives_the_same_world() -> None:
    one, other = World(seed=3, scale=0.3, starts=A_WEEK_BEFORE), World(seed=3, scale=0.3, starts=A_WEEK_BEFORE)
    assert activities_on(one, MONDAY) == activities_on(other, MONDAY) != []
    assert one.organization_id == other.organization_id


def test_another_seed_gives_another_world() -> None:
    one, other = World(seed=3, scale=0.3, starts=A_WEEK_BEFORE), World(seed=4, scale=0.3, starts=A_WEEK_BEFORE)
    assert not {activity.id for activity in activities_on(one, MONDAY)} & {
        activity.id for activity in activities_on(other, MONDAY)
    }
    assert one.organization_id != other.organization_id


def test_another_process_gets_the_same_world(world: World) -> None:
    code = (
        "from datetime import *; from topo_pipeline.sandbox.world import World;"
        "midnight = datetime(2026, 1, 12, tzinfo=UTC);"
        f"found = World(scale={world.scale}).activities(midnight, midnight + timedelta(hours=12));"
        "print(*(f'{a.id} {a.created_at.isoformat()} {a.type} {a.reply_category}' for a in found), sep='\\n')"
    )
    env = os.environ | {"PYTHONHASHSEED": "12345"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)  # noqa: S603 - our own code
    found = world.activities(midnight(MONDAY), midnight(MONDAY) + timedelta(hours=12))
    assert done.stdout.splitlines() == [f"{a.id} {a.created_at.isoformat()} {a.type} {a.reply_category}" for a in found]
    assert len(found) > 100


def test_days_are_the_same_in_any_order(world: World) -> None:
    days = [MONDAY + timedelta(days=n) for n in range(10)]
    backwards = World(scale=world.scale)
    assert [activities_on(backwards, day) for day in reversed(days)] == [
        activities_on(world, day) for day in reversed(days)
    ]


def test_daily_windows_cover_each_activity_once(world: World) -> None:
    days = [date(2025, 12, 1) + timedelta(days=n) for n in range(50)]
    pieces = [activity for day in days for activity in activities_on(world, day)]
    whole = world.activities(None, midnight(days[-1] + ONE_DAY))
    assert pieces == whole
    assert len({activity.id for activity in whole}) == len(whole)


@pytest.mark.parametrize("cut", [timedelta(hours=9), timedelta(hours=23, minutes=59), timedelta(days=3)])
def test_two_windows_lose_only_activities_at_their_shared_bound(world: World, cut: timedelta) -> None:
    start, end = midnight(MONDAY), midnight(MONDAY + timedelta(days=5))
    whole = world.activities(start, end)
    here = start + cut
    pieces = world.activities(start, here) + [a for a in whole if a.created_at == here]
    assert pieces + world.activities(here, end) == whole


def test_both_bounds_are_exclusive(world: World) -> None:
    times = sorted({activity.created_at for activity in activities_on(world, MONDAY)})
    low, high = times[10], times[50]
    between = {activity.created_at for activity in world.activities(low, high)}
    assert between == set(times[11:50])


def test_a_reversed_or_empty_window_is_empty(world: World) -> None:
    noon = midnight(MONDAY) + timedelta(hours=12)
    assert world.activities(noon, noon) == []
    assert world.activities(noon, noon - ONE_DAY) == []


def test_activities_are_ordered_by_time_and_then_id(world: World) -> None:
    found = world.activities(midnight(MONDAY), midnight(MONDAY + timedelta(days=4)))
    assert found == sorted(found, key=lambda activity: (activity.created_at, activity.id))
    ties = len(found) - len({activity.created_at for activity in found})
    assert 0 < ties < len(found) / 2


def test_nothing_is_older_than_the_start_of_the_world() -> None:
    late_world = World(scale=0.3, starts=date(2026, 1, 12))
    assert late_world.activities(None, midnight(MONDAY)) == []
    assert {a.type for a in activities_on(late_world, MONDAY)} >= {"sequence.created", "message.sent"}
    runs_on_tuesday = {a.sequence_id for a in activities_on(late_world, MONDAY + ONE_DAY)}
    enrolled = {a.sequence_id for a in late_world.activities(None, midnight(MONDAY + 2 * ONE_DAY))}
    assert runs_on_tuesday <= enrolled


def test_a_world_that_starts_later_has_the_same_runs_from_its_start(world: World) -> None:
    later = activities_on(World(scale=world.scale, starts=MONDAY), MONDAY + ONE_DAY)
    assert later
    assert {activity.id for activity in later} < {activity.id for activity in activities_on(world, MONDAY + ONE_DAY)}


def test_a_weekday_has_about_a_thousand_activities_at_full_scale(world: World) -> None:
    days = [MONDAY + timedelta(days=n) for n in range(28)]
    volumes = [len(activities_on(world, day)) for day in days if day.weekday() < 5]
    assert 900 < mean(volumes) / world.scale < 1_200


def test_scale_multiplies_the_contacts() -> None:
    def enrolled(scale: float) -> int:
        world = World(scale=scale, starts=MONDAY)
        found = world.activities(midnight(MONDAY), midnight(MONDAY + timedelta(days=14)))
        return sum(activity.type == "sequence.created" for activity in found)

    assert enrolled(1) == pytest.approx(3 * enrolled(1 / 3), rel=0.1)
    assert enrolled(0) == 0
