"""Weeks of some sequences, generated at random: every number of every table agrees with the definitions."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import (
    Activity,
    Workspace,
    by_day,
    canonical,
)
from topo_pipeline_tests.engagement.oracle import Row, World, tables
from topo_pipeline_tests.engagement.worlds import NEED_MONTHS, land_world

RULES = Rules(reply_window_days=10, censored_days=20, tracking_off_sends=20, evidence_small=8, evidence_usable=60)
CATEGORIES = (
    *("INTERESTED", "MEETING", "BAD_TIMING", "NOT_INTERESTED", "UNSUBSCRIBED", "OUT_OF_OFFICE", "BOUNCED", "UNKNOWN"),
    "NEW_ONE",
    None,
)
STATUSES = {"steady": "ACTIVE", "lapsed": "ACTIVE", "ended": "ARCHIVED", "other": "INACTIVE"}  # "shifty" has none
LATER = {
    "hot_lead.created": 0.1,
    "meeting.created": 0.1,
    "sequence.stopped": 0.2,
    "sequence.completed": 0.3,
    "sequence.paused": 0.2,
    "sequence.resumed": 0.1,
}


@dataclass(frozen=True)
class Life:
    """A run that starts at some time, and the chance of each further reply."""

    run: str
    sequence: str
    start: datetime
    reply: float

    def activities(self, chance: Random) -> Iterator[Activity]:
        """Yield what happens to it. Many times are just before or after the end of a window or of a day."""
        contacted = self.start + timedelta(minutes=chance.choice((0, 1, 600, 60 * 24 * 4)))
        channel = chance.choice(("EMAIL", "EMAIL", "LINKEDIN", "CARRIER_PIGEON", None))
        if chance.random() < 0.95:
            yield self._did("sequence.created", self.start)
        if channel == "LINKEDIN" or chance.random() < 0.1:
            yield from self._invited(chance)
        if chance.random() < 0.9:
            yield from self._messaged(chance, contacted, channel)
        if chance.random() < 0.2:
            yield from self._tasks(chance, contacted)
        for type_, likely in LATER.items():
            if chance.random() < likely:
                yield self._did(type_, contacted + self._later(chance))
        while chance.random() < self.reply:
            at, category = contacted + self._later(chance), chance.choice(CATEGORIES)
            yield self._did("message.replied", at, chance, category=category, channel=chance.choice((channel, "EMAIL")))
        if chance.random() < 0.04:
            yield Activity("message.sent", contacted + self._later(chance), self.run, "other", channel="EMAIL")
        if chance.random() < 0.02:
            strange, run = chance.choice(("message.sent", "message.bounced")), chance.choice((None, self.run))
            yield Activity(strange, contacted, run, self.sequence)

    def _did(self, type_: str, at: datetime, chance: Random | None = None, **details: Any) -> Activity:
        """An activity of the run. Given a chance, it may not name its sequence."""
        sequence = None if chance is not None and chance.random() < 0.2 else self.sequence
        return Activity(type_, at, self.run, sequence, person=f"person {hash_of(self.run) % 700}", **details)

    def _invited(self, chance: Random) -> Iterator[Activity]:
        """An invitation, with an answer that may come before the first message."""
        at = self.start + timedelta(minutes=5)
        yield self._did("invitation.sent", at, chance, channel="LINKEDIN", step=1)
        if chance.random() < 0.5:
            yield self._did("invitation.accepted", at + timedelta(seconds=chance.randrange(100 * 3600)), chance)
        if chance.random() < 0.2:
            early = at + timedelta(minutes=chance.choice((1, 60, 60 * 24)))
            yield self._did("message.replied", early, chance, category=chance.choice(CATEGORIES), channel="LINKEDIN")

    def _messaged(self, chance: Random, at: datetime, channel: str | None) -> Iterator[Activity]:
        for number in range(chance.choice((1, 1, 2, 3))):
            message = chance.choice((None, f"{self.run} {number}"))
            sent_at = at + number * timedelta(days=3)
            step = chance.choice((None, 2, number + 2, number + 2))
            yield self._did("message.sent", sent_at, chance, channel=channel, message=message, step=step)
            done = chance.choice(("sequence_step.completed",) * 9 + ("sequence_step.skipped",))
            yield self._did(done, sent_at, channel=channel, step=step)
            for seconds in (5, 10, 11, 3600, 60 * 60 * 24 * 8):
                if channel == "EMAIL" and self.sequence != "untracked" and chance.random() < 0.15:
                    looked = chance.choice(("message.opened", "message.opened", "message.link_clicked"))
                    yield self._did(looked, sent_at + timedelta(seconds=seconds), chance, message=message)

    def _tasks(self, chance: Random, at: datetime) -> Iterator[Activity]:
        task = chance.choice((None, f"{self.run} call"))
        yield self._did("task.created", at, chance, channel="MANUAL", task=task, step=4)
        if chance.random() < 0.6:
            closed = chance.choice(("task.completed", "task.skipped"))
            yield self._did(
                closed, at + timedelta(seconds=chance.randrange(-3600, 50 * 3600)), channel="MANUAL", task=task
            )

    def _later(self, chance: Random) -> timedelta:
        window = timedelta(days=chance.choice((3, 7, 10, 14)), seconds=chance.choice((-1, 0, 1)))
        return chance.choice(
            # Whole seconds: hours between them never lie halfway between two values of nine digits.
            (
                timedelta(seconds=chance.randrange(-5 * 3600, 24 * 14 * 3600)),
                timedelta(hours=-1),
                timedelta(hours=1),
                window,
            )
        )


def hash_of(name: str) -> int:
    """Return the same number for a name every time."""
    return sum(place * ord(letter) for place, letter in enumerate(name, 1))


def lives(zone: str, first_day: date, days: int, chance: Random) -> Iterator[Activity]:
    """Yield the runs of some sequences, one of which changes with a week in the middle and one ends early."""
    middle = middle_of(first_day, days)
    for day in range(days):
        midnight = datetime.combine(first_day + timedelta(days=day), time.min, ZoneInfo(zone))
        is_late = day >= middle
        shifty, lapsed = (12, 0.05) if is_late else (9, 0.85), (0, 0.1) if day > days // 3 else (2, 0.1)
        here = {"steady": (5, 0.3), "shifty": shifty, "ended": (1, 0.5), "untracked": (2, 0.1), "lapsed": lapsed}
        for sequence, (runs, reply) in here.items():
            for number in range(chance.randint(max(runs - 3, 0), runs + 2) if runs else 0):
                start = midnight + timedelta(hours=chance.choice((0, 2, 9, 23)), minutes=chance.choice((0, 30)))
                life = Life(f"{sequence} {day} {number}", sequence, start.astimezone(UTC), reply)
                yield from life.activities(chance)


def middle_of(first_day: date, days: int) -> int:
    """Return the number of a Monday in the middle."""
    return days // 2 - (first_day + timedelta(days=days // 2)).weekday()


def world(zone: str, first_day: date, days: int, last_is_open: bool) -> World:
    """Return what is landed: some days are not, some were read too early or without proof, all far from the middle."""
    chance = Random(7)  # noqa: S311 - no secret
    happened = by_day({a.id: a for a in lives(zone, first_day, days, chance)}.values(), zone)
    wanted = [first_day + timedelta(days=n) for n in range(days)]
    odd = [*chance.sample(wanted[1 : days // 6], 3), *chance.sample(wanted[-days // 6 : -6], 3)]
    landed = {day: happened.get(day, []) for day in wanted if day not in (odd[0], odd[3])}
    noon = {day: datetime.combine(day, time(12), ZoneInfo(zone)) for day in (odd[1], odd[4])}
    landed |= {day: [a for a in landed[day] if a.created_at < noon[day]] for day in noon}
    open_days = frozenset((odd[1], odd[4], wanted[-1]) if last_is_open else (odd[1], odd[4]))
    names = {name: name.title() for name in STATUSES}
    return World(landed, open_days, frozenset((odd[2], odd[5])), zone, RULES, STATUSES, names)


@cache
def defined(zone: str, first_day: date, days: int, last_is_open: bool) -> dict[str, list[Row]]:
    return tables(world(zone, first_day, days, last_is_open))


@pytest.mark.parametrize(
    ("zone", "first_day", "days", "last_is_open"),
    [
        ("America/New_York", date(2026, 9, 18), 60, True),
        pytest.param("Europe/Paris", date(2026, 1, 28), 85, False, marks=pytest.mark.full),
        pytest.param("Europe/Paris", date(2026, 8, 31), 70, True, marks=pytest.mark.full),
        pytest.param("Australia/Lord_Howe", date(2026, 2, 27), 60, False, marks=pytest.mark.full),
        pytest.param("Australia/Lord_Howe", date(2026, 8, 28), 60, True, marks=pytest.mark.full),
        pytest.param("Asia/Kolkata", date(2026, 3, 1), 60, False, marks=pytest.mark.full),
    ],
)
def test_every_table_is_what_its_definition_says(
    workspace: Workspace, zone: str, first_day: date, days: int, last_is_open: bool
) -> None:
    land_world(workspace, world(zone, first_day, days, last_is_open))
    workspace.build()
    found = workspace.all_rows()
    for table, rows in defined(zone, first_day, days, last_is_open).items():
        assert canonical(found[table]) == canonical(rows), table


def test_the_worlds_leave_nothing_out() -> None:
    """Equal tables prove little where nothing happened."""
    found = defined("America/New_York", date(2026, 9, 18), 60, True)
    assert {row["signal"] for row in found["sequence_signals"]} >= {None, "no_clear_change"}
    assert {row["is_volume_anomaly"] for row in found["sequence_daily"]} >= {None, False}
    assert {row["outcome"] for row in found["sequence_runs"]} >= {"meeting", "opt_out", "bounced", "none", None}
    cohorts, summaries = found["sequence_cohorts"], found["sequence_summary"]
    assert {row["is_mature"] for row in cohorts} == {True, False}
    assert {row["axis"] for row in cohorts if row["start_uncertain"]} == {"touched", "sent"}
    assert any(row["days_unknown"] and row["eligible"] for row in cohorts)
    assert any(row["median_hours_to_first_reply"] for row in cohorts)
    assert any(row["days_unknown"] == 0 and row["eligible_3d"] > row["eligible"] for row in cohorts)
    assert any(row["reply_rate"] is not None for row in found["sequence_timing"])
    assert {row["reply_channel"] for row in found["sequence_runs"]} == {None, "EMAIL", "LINKEDIN", "OTHER", "NONE"}
    assert len({row["reply_rank"] for row in summaries if row["period"] == "lifetime"} - {None}) >= 2
    # A column that is empty or zero in every row would be compared in vain.
    empty = {(table, name) for table, rows in found.items() for name in rows[0] if not any(r[name] for r in rows)}
    assert empty - NEED_MONTHS == set()
