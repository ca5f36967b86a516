"""Unusual volumes in workspaces of several months: equal to their definition, whatever the order of the loads."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from topo_pipeline_tests.engagement.helpers import Activity, Workspace, by_day, canonical
from topo_pipeline_tests.engagement.oracle import Row, World
from topo_pipeline_tests.engagement.oracle.daily import sequence_daily
from topo_pipeline_tests.engagement.oracle.volumes import sequence_volumes
from topo_pipeline_tests.engagement.oracle.workspace import workspace_daily
from topo_pipeline_tests.engagement.test_any_order import workspaces
from topo_pipeline_tests.engagement.worlds import land_world, name_sequences

WEEKS = 14
STATUSES = {"steady": "ACTIVE", "batches": "ACTIVE", "ended": "ARCHIVED", "paused": "ACTIVE"}  # "late" has none
ZONES = ("UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe")
MADE_OF = (
    *("sequence_activity", "sequence_runs", "sequence_daily"),
    *("sequence_cohorts", "workspace_daily", "sequence_volumes"),
)


def number_of(sequence: str | None, day: int, chance: Random) -> int:
    """Return the number of messages that a sequence sends on a day, the first of which is a Wednesday."""
    weekday = (day + 2) % 7
    if weekday >= 5:
        return chance.choice((0, 0, 0, 2)) if sequence == "steady" else 0
    if sequence == "batches":
        return chance.randint(20, 30) if weekday == 1 else 0
    usual = {"steady": 12, "ended": 3, "paused": 11, "late": 11, None: 1}[sequence]
    number = chance.randint(usual - 1, usual + 2)
    if sequence == "late" and day < 30:
        return 0
    if sequence == "paused" and day >= 79:
        return 0
    if sequence == "steady" and 82 <= day < 89:
        return 2 * number
    return number


def happened_in(zone: str, first_day: date, chance: Random) -> Iterator[Activity]:
    """Yield the messages of one run of each sequence, all near the midnights of the zone or at noon."""
    holidays = chance.sample(range(40, 7 * WEEKS), chance.choice((0, 2, 8)))
    for day in range(7 * WEEKS):
        midnight = datetime.combine(first_day + timedelta(days=day), time.min, ZoneInfo(zone))
        for sequence in (*STATUSES, "late", None):
            number = 0 if day in holidays else number_of(sequence, day, chance)
            for position in range(number):
                at = midnight + timedelta(hours=chance.choice((0, 12, 22)), seconds=position)
                yield Activity("message.sent", at.astimezone(ZoneInfo("UTC")), f"run {sequence}", sequence)


@cache
def world_of(seed: int) -> World:
    """Return a workspace over a change of the clocks. Some days are missing, unproved or read too early."""
    chance = Random(seed)  # noqa: S311 - the same every time
    zone = ZONES[seed % len(ZONES)]
    first_day = chance.choice((date(2026, 1, 7), date(2026, 8, 5)))
    wanted = [first_day + timedelta(days=n) for n in range(7 * WEEKS)]
    landed = dict.fromkeys(wanted, []) | by_day(happened_in(zone, first_day, chance), zone)
    odd = chance.sample(wanted[1:-1], 3 * chance.choice((0, 0, 1, 2)))
    for day in odd[::3]:
        del landed[day]
    names = {name: name.title() for name in STATUSES}
    days = {day: landed[day] for day in wanted if day in landed}
    return World(days, frozenset(odd[1::3]), frozenset(odd[2::3]), zone, statuses=STATUSES, names=names)


TABLES: tuple[Callable[[World], list[Row]], ...] = (sequence_daily, workspace_daily, sequence_volumes)


@cache
def defined(seed: int) -> dict[str, list[Row]]:
    return {compute.__name__: compute(world_of(seed)) for compute in TABLES}


def live_through(workspace: Workspace, world: World, chance: Random) -> None:
    """Load the days in any order, some of them twice, with a build in between and other statuses before the end."""
    name_sequences(workspace, dict.fromkeys(world.statuses, "INACTIVE"))
    order = chance.sample(sorted(world.landed), len(world.landed))
    first = order[: len(order) // 2]
    early = [(day, world.landed[day][:: 2 if day in order[:10] else 1]) for day in first]
    workspace.land_each(early, open_days=world.open_days)
    workspace.build(*MADE_OF)
    late = [(day, world.landed[day]) for day in (*order[:10], *order[len(first) :], *world.unproved_days)]
    workspace.land_each(late, open_days=world.open_days, unproved_days=world.unproved_days)
    name_sequences(workspace, world.statuses)
    workspace.build(*MADE_OF)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(1, 12))])
def test_any_order_of_loads_equals_a_rebuild_and_the_definitions(tmp_path: Path, empty_file: Path, seed: int) -> None:
    world = world_of(seed)
    lived, fresh = workspaces(tmp_path, empty_file, world)
    live_through(lived, world, Random(seed))  # noqa: S311 - the same every time
    land_world(fresh, world)
    fresh.build(*MADE_OF, full_refresh=True)
    for table, rows in defined(seed).items():
        assert lived.rows(table) == fresh.rows(table), table
        assert canonical(fresh.rows(table)) == canonical(rows), table


def test_the_worlds_leave_nothing_out() -> None:
    """Equal tables prove little where nothing happened."""
    found = [row for seed in range(4) for row in defined(seed)["sequence_volumes"]]
    assert {row["volume_signal"] for row in found} == {None, "as_usual", "up", "down"}
    reasons = {(row["not_judged"] or "").translate(str.maketrans("0123456789", "n" * 10)) for row in found}
    assert reasons == {
        "",
        "not active",
        "n day unknown",
        "n days unknown",
        "the whole workspace sent nothing on n day",
        "the whole workspace sent nothing on n days",
        "needs n weeks; n so far",
        "needs n full weeks among the n before; has n",
    }
    for table in ("sequence_daily", "workspace_daily"):
        rows = [row for seed in range(4) for row in defined(seed)[table]]
        assert {row["is_volume_anomaly"] for row in rows} == {None, False, True}, table
