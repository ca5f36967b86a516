"""Weeks of two sequences' lives, made by chance: every number of every table is the definitions' own."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, by_day, canonical, enrolled, replied, sent
from topo_pipeline_tests.engagement.oracle import Oracle

WINDOW = 10
CATEGORIES = ("INTERESTED", "MEETING", "NOT_INTERESTED", "OUT_OF_OFFICE", "UNKNOWN", None)
TABLES = ("sequence_daily", "sequence_cohorts", "sequence_summary", "sequence_trends")


@dataclass(frozen=True)
class Life:
    """A run that starts at a moment, and the chances that it has."""

    run: str
    sequence: str
    start: datetime
    reply: float

    def activities(self, chance: Random) -> Iterator[Activity]:
        """Whatever becomes of it; times are such as to fall on either side of a window's end and of midnight."""
        about = {"run": self.run, "sequence": self.sequence}
        contacted = self.start + timedelta(minutes=chance.choice((0, 1, 600, 60 * 24 * 4)))
        if chance.random() < 0.95:
            yield enrolled(self.start, **about)
        if chance.random() < 0.3:
            yield Activity("invitation.sent", self.start + timedelta(minutes=5), channel="LINKEDIN", **about)
        if chance.random() < 0.9:
            yield sent(contacted, **about)
        if chance.random() < 0.5:
            yield sent(contacted + timedelta(days=3), **about)
        likely = {"hot_lead.created": 0.1, "meeting.created": 0.1, "sequence.stopped": 0.2, "sequence.completed": 0.3}
        for type_, chances in (likely | {"sequence.paused": 0.2, "sequence.resumed": 0.1}).items():
            if chance.random() < chances:
                yield Activity(type_, contacted + self._later(chance), **about)
        while chance.random() < self.reply:
            yield replied(contacted + self._later(chance), category=chance.choice(CATEGORIES), **about)

    def _later(self, chance: Random) -> timedelta:
        exactly = timedelta(days=WINDOW, seconds=chance.choice((-1, 0, 1)))
        return chance.choice(
            (timedelta(hours=chance.uniform(-5, 24 * 14)), timedelta(hours=-1), timedelta(hours=1), exactly)
        )


def lives(zone: str, first_day: date, days: int, chance: Random) -> Iterator[Activity]:
    """Runs of a steady sequence, and of one whose volume and luck change with a week in the middle."""
    middle = days // 2 - (first_day + timedelta(days=days // 2)).weekday()
    for day in range(days):
        midnight = datetime.combine(first_day + timedelta(days=day), time.min, ZoneInfo(zone))
        is_late = day >= middle
        for sequence, runs, reply in (("steady", 6, 0.3), ("shifty", 12 if is_late else 9, 0.05 if is_late else 0.85)):
            for number in range(chance.randint(runs - 4, runs + 2)):
                start = midnight + timedelta(hours=chance.choice((0, 1, 2, 9, 12, 23)), minutes=chance.choice((0, 30)))
                life = Life(f"{sequence} {day} {number}", sequence, start.astimezone(UTC), reply)
                yield from life.activities(chance)


def world(zone: str, first_day: date, days: int) -> dict[date, list[Activity]]:
    """What is landed of them: not all days, and none before the first or after the last."""
    chance = Random(7)  # noqa: S311 - no secret
    happened = by_day({a.id: a for a in lives(zone, first_day, days, chance)}.values(), zone)
    wanted = [first_day + timedelta(days=n) for n in range(days)]
    # Away from the middle, whose change is to be seen.
    missing = {*chance.sample(wanted[1 : days // 4], 2), *chance.sample(wanted[-days // 4 : -1], 2)}
    return {day: happened.get(day, []) for day in wanted if day not in missing}


@pytest.mark.parametrize(
    ("zone", "first_day", "days", "last_is_open"),
    [
        ("America/New_York", date(2026, 9, 18), 60, True),
        pytest.param("America/New_York", date(2026, 8, 21), 85, True, marks=pytest.mark.full),
        pytest.param("Europe/Paris", date(2026, 1, 28), 85, False, marks=pytest.mark.full),
    ],
)
def test_every_table_is_what_its_definition_says(
    workspace: Workspace, zone: str, first_day: date, days: int, last_is_open: bool
) -> None:
    landed = world(zone, first_day, days)
    last = max(landed)
    workspace.zone = zone
    workspace.rules = Rules(reply_window_days=WINDOW, censored_days=20)
    workspace.land_each(landed.items(), still_open=last if last_is_open else None)
    workspace.build()
    open_days = frozenset({last} if last_is_open else ())
    oracle = Oracle(landed, open_days, zone, window=timedelta(days=WINDOW), censored_days=20)
    expected = oracle.tables()
    found = workspace.all_rows()
    for table in TABLES:
        assert canonical(found[table]) == canonical(expected[table]), table
    assert_that_chance_left_nothing_out(found)


def assert_that_chance_left_nothing_out(found: dict[str, list[dict[str, object]]]) -> None:
    """Equal tables prove little where nothing happened."""
    signals = {row["signal"] for row in found["sequence_trends"]}
    assert signals >= {None, "no_clear_change", "down"}
    assert {row["is_volume_anomaly"] for row in found["sequence_daily"]} == {None, False, True}
    cohorts = found["sequence_cohorts"]
    assert {row["is_mature"] for row in cohorts} == {True, False}
    assert any(row["days_missing"] for row in cohorts)
    assert any(row["median_hours_to_first_reply"] for row in cohorts)
    # What a subset is for: runs with a classified reply in their window whose first reply came before their message.
    assert any(row["positive_share_of_replies_den"] > row["classification_coverage_num"] for row in cohorts)
    assert all(row[name] for row in found["sequence_summary"] for name in ("total_sent", "eligible", "runs_paused"))
