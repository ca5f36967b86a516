"""Months of some sequences, long enough for early reads, signals, chances and ranges: they are what metrics.md says."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from random import Random
from zoneinfo import ZoneInfo

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, by_day, canonical, enrolled, replied, sent
from topo_pipeline_tests.engagement.oracle import Row, World, days
from topo_pipeline_tests.engagement.oracle.forecast import sequence_forecast
from topo_pipeline_tests.engagement.oracle.reply_timing import reply_timing
from topo_pipeline_tests.engagement.oracle.signals import sequence_signals
from topo_pipeline_tests.engagement.worlds import name_sequences

RULES = Rules(reply_window_days=10, censored_days=0, evidence_small=20, detectable_ratio=1.6)
LENGTH = 119
# Runs a day, and the reply rate before and after the change.
SEQUENCES = {"large": (6, 0.3, 0.3), "fallen": (6, 0.4, 0.08), "twin": (3, 0.29, 0.29), "small": (1, 0.2, 0.2)}
CHANGES_ON = 91
COMPUTED = {"reply_timing": reply_timing, "sequence_signals": sequence_signals, "sequence_forecast": sequence_forecast}


def happened(zone: str, first_day: date, chance: Random) -> Iterator[Activity]:
    """Yield runs that are touched on five days of the week; replies and meetings come within two weeks."""
    for number in range(LENGTH):
        day = first_day + timedelta(days=number)
        for sequence, (runs, before, after) in SEQUENCES.items():
            rate = before if number < CHANGES_ON else after
            for run in range(chance.randint(0, 2 * runs) if day.weekday() < 5 else 0):
                start = datetime.combine(day, time(chance.choice((0, 9, 17, 23))), ZoneInfo(zone)).astimezone(UTC)
                yield from _run(f"{sequence} {number} {run}", sequence, start, rate, chance)


def _run(name: str, sequence: str, start: datetime, rate: float, chance: Random) -> Iterator[Activity]:
    yield enrolled(start, name, sequence=sequence)
    yield sent(start, name, sequence=sequence)
    if chance.random() < rate:
        at = start + timedelta(hours=int(chance.expovariate(1 / 60)))
        yield replied(at, name, sequence=sequence, category=chance.choice(("INTERESTED", "NOT_INTERESTED", None)))
        if chance.random() < 0.5:
            yield Activity("meeting.created", at + timedelta(hours=chance.randint(0, 48)), name, sequence)


@cache
def world(zone: str, first_day: date) -> World:
    activities = by_day(happened(zone, first_day, Random(3)), zone)  # noqa: S311 - the same every time
    landed = {day: activities.get(day, []) for day in days(first_day, first_day + timedelta(days=LENGTH - 1))}
    return World(landed, zone=zone, rules=RULES, statuses={"small": "FINISHING"}, names={"small": "Small"})


@cache
def defined(zone: str, first_day: date) -> dict[str, list[Row]]:
    return {table: compute(world(zone, first_day)) for table, compute in COMPUTED.items()}


@pytest.mark.parametrize(
    ("zone", "first_day"),
    [
        ("Europe/Paris", date(2026, 1, 5)),
        pytest.param("America/New_York", date(2026, 8, 4), marks=pytest.mark.full),
        pytest.param("Asia/Kolkata", date(2026, 1, 1), marks=pytest.mark.full),
    ],
)
def test_early_reads_signals_and_forecasts_are_what_their_definitions_say(
    workspace: Workspace, zone: str, first_day: date
) -> None:
    there = world(zone, first_day)
    workspace.zone, workspace.rules = there.zone, there.rules
    name_sequences(workspace, there.statuses)
    landed = sorted(there.landed.items())
    for part in range(0, LENGTH, 40):  # the memory of one transaction is not enough for all
        workspace.land_each(landed[part : part + 40])
    workspace.build()
    for table, rows in defined(zone, first_day).items():
        assert canonical(workspace.rows(table)) == canonical(rows), table


def test_the_world_leaves_nothing_out() -> None:
    found = defined("Europe/Paris", date(2026, 1, 5))
    signals, forecasts = found["sequence_signals"], found["sequence_forecast"]
    assert {row["signal"] for row in signals} >= {None, "no_clear_change", "down"}
    assert {row["halving_noticeable"] for row in signals} >= {None, True}
    assert {row["standing"] for row in signals} - {None}
    assert {row["chance_above_next"] for row in signals} >= {None, "about_even"}
    assert any(row["expected_low"] for row in forecasts)
    assert {row["is_pooled"] for row in found["reply_timing"]} == {True, False}
