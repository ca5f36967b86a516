"""The tables are a function of what is landed: any order of loads, reloads and builds ends in the same rows."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, by_day, canonical
from topo_pipeline_tests.engagement.oracle import KNOWN, World, tables
from topo_pipeline_tests.engagement.worlds import NEED_MONTHS, land_world, name_sequences

# A zone, and a first day some days before its clocks change (in Kolkata they do not).
PLACES = (
    ("UTC", date(2026, 3, 26)),
    ("Europe/Paris", date(2026, 3, 26)),
    ("Europe/Paris", date(2026, 10, 21)),
    ("America/New_York", date(2026, 10, 28)),
    ("Asia/Kolkata", date(2026, 3, 26)),
    ("Australia/Lord_Howe", date(2026, 4, 1)),  # by half an hour
    ("Australia/Lord_Howe", date(2026, 9, 30)),
)
CATEGORIES = (
    None,
    "INTERESTED",
    "MEETING",
    "NOT_INTERESTED",
    "UNSUBSCRIBED",
    "OUT_OF_OFFICE",
    "BOUNCED",
    "BAD_TIMING",
    "UNKNOWN",
    "Brand New",
    "'); DROP TABLE x;--",
)
CHANNELS = (None, "EMAIL", "LINKEDIN", "MANUAL", "CARRIER_PIGEON")
FREQUENT = ("message.sent", "message.sent", "message.opened", "message.replied", "message.replied", "sequence.created")
ENDS = ("sequence.stopped", "sequence.resumed")
SMALL = 22  # the seed of a history of few days, with a day that loses its proof and others that are read twice
STATUSES = (None, "ACTIVE", "INACTIVE", "FINISHING", "ARCHIVED")


@dataclass(frozen=True)
class Step:
    """A load of a day, whether a build follows it, and the days whose proof is then withdrawn without a load."""

    day: date
    version: list[Activity]
    is_open: bool
    proved: bool
    builds: bool
    withdrawn: tuple[date, ...] = ()


@dataclass(frozen=True)
class History:
    """What is landed in the end, and how it came to be: other versions of days, other statuses, builds in between."""

    final: World
    steps: list[Step]
    statuses_change_after: int


def noise(first_day: date, days: int, chance: Random) -> Activity:
    """Return an activity that need not fit any other."""
    start = datetime.combine(first_day, time(6), UTC)
    # Whole hours, so that times are often equal. Those around midnight are on a day that depends on the zone.
    moment = start + timedelta(hours=chance.randrange(24 * days - 12), seconds=chance.choice((0, 0, 9)))
    type_ = chance.choice((*sorted(KNOWN), *FREQUENT, "message.bounced", "orphan", "none", None))
    return Activity(
        type_,
        moment,
        run=chance.choice(("A", "B", "C", "D", "E", "A", "B", "C", None)),
        sequence=chance.choice(("outbound", "outbound", "nurture", None)),
        person=chance.choice(("Ada", "Bob", None)),
        channel=chance.choice(CHANNELS),
        category=chance.choice(CATEGORIES) if type_ == "message.replied" else None,
        snake_case=chance.random() < 0.5,
        message=chance.choice((None, "first", "second")),
        step=chance.choice((None, None, 1, 2, 3)),
        task=chance.choice((None, "call", "visit")),
    )


@dataclass
class Story:
    """A run as Topo would record it. `at` is the time of its next activity."""

    run: str
    at: datetime
    chance: Random
    sequence: str

    def did(self, type_: str, channel: str | None = None, **details: Any) -> Activity:
        """Return an activity that happens now. It may not name its sequence."""
        named = self.sequence if self.chance.random() < 0.8 else None
        return Activity(type_, self.at, self.run, named, self.run, channel, **details)

    def wait(self, *hours: float) -> None:
        self.at += timedelta(hours=self.chance.choice(hours))

    def told(self) -> Iterator[Activity]:
        """Yield an invitation or an email, then answers and further messages."""
        channel = self.chance.choice(("EMAIL", "LINKEDIN"))
        if self.chance.random() < 0.8:
            yield self.did("sequence.created")
        if channel == "LINKEDIN":
            self.wait(0, 1, 30)
            yield self.did("invitation.sent", step=1)
            self.wait(1, 12, 24)
            yield self.did("invitation.accepted")
        for number in range(self.chance.choice((0, 1, 2, 3))):
            yield from self.replied(channel)
            yield from self.messaged(channel, number)
        yield from self.replied(channel)
        if self.chance.random() < 0.4:
            yield from self.called()
        yield from self.ended()

    def replied(self, channel: str) -> Iterator[Activity]:
        for _ in range(self.chance.choice((0, 0, 1, 2))):
            self.wait(0, 0.5, 12, 24, 48)
            category, channel = self.chance.choice(CATEGORIES), self.chance.choice((channel, channel, "EMAIL"))
            yield self.did("message.replied", channel, category=category)

    def messaged(self, channel: str, number: int) -> Iterator[Activity]:
        self.wait(0, 1, 24, 72)
        message = self.chance.choice((None, f"{self.run} {number}"))
        yield self.did("message.sent", channel, message=message, step=self.chance.choice((None, 2, number + 2)))
        self.at += timedelta(seconds=self.chance.choice((1, 10, 11, 3600)))
        if self.chance.random() < 0.6:
            yield self.did(self.chance.choice(("message.opened", "message.link_clicked")), message=message)
        yield self.did("sequence_step.completed", channel, step=number + 2)

    def called(self) -> Iterator[Activity]:
        task = self.chance.choice((None, f"{self.run} call"))
        yield self.did("task.created", "MANUAL", task=task)
        self.wait(0, 5)
        yield self.did(self.chance.choice(("task.completed", "task.skipped")), "MANUAL", task=task)

    def ended(self) -> Iterator[Activity]:
        self.wait(0, 1, 24, 48)
        for type_ in ("meeting.created", "hot_lead.created", "sequence.paused", "sequence.completed", *ENDS):
            if self.chance.random() < 0.2:
                yield self.did(type_)
        if self.chance.random() < 0.15:  # a run in two sequences
            other = "nurture" if self.sequence == "outbound" else "outbound"
            yield Activity("message.sent", self.at, self.run, other, channel="EMAIL")


def happened_in(zone: str, first_day: date, days: int, chance: Random) -> Iterator[Activity]:
    for _ in range(chance.randint(4, 25)):
        yield noise(first_day, days, chance)
    midnight = datetime.combine(first_day, time(0), ZoneInfo(zone))
    for run in range(chance.randint(2, 5 * days)):
        start = midnight + timedelta(hours=chance.randrange(24 * days))
        sequence = chance.choice(("outbound", "outbound", "nurture", "old"))
        yield from Story(f"run {run}", start.astimezone(UTC), chance, sequence).told()
    # A sequence that falls silent.
    yield Activity("message.sent", midnight.astimezone(UTC), "quiet run", "quiet", channel="EMAIL")


def world_of(chance: Random) -> World:
    """Return some days of a workspace. Some are not landed, some not proved, some were read before they were over."""
    zone, first_day = chance.choice(PLACES)
    days = chance.choice((3, 10, 20))
    happened = {activity.id: activity for activity in happened_in(zone, first_day, days, chance)}
    wanted = [first_day + timedelta(days=n) for n in range(days + 2)]
    final: dict[date, list[Activity]] = {day: [] for day in wanted} | by_day(happened.values(), zone)
    for day in chance.sample(wanted[1:-1], chance.choice((0, 1, 2))):
        del final[day]
    landed = sorted(day for day in final if day <= wanted[-1])
    statuses = {name: chance.choice(STATUSES) for name in ("outbound", "nurture", "old")}
    known = {name: status for name, status in statuses.items() if status is not None}
    return World(
        {day: final[day] for day in landed},
        frozenset(chance.sample((landed[0], *landed[-3:]), chance.choice((0, 1, 2)))),
        frozenset(chance.sample(landed, chance.choice((0, 0, 1)))),
        zone,
        rules_of(chance),
        known,
        {name: name.title() for name in known},
    )


def rules_of(chance: Random) -> Rules:
    """Return rules with windows that can close within the days of a world."""
    return Rules(
        reply_window_days=chance.choice((1, 2, 4, 30)),
        censored_days=chance.choice((0, 2, 3, 30)),
        message_reply_window_days=chance.choice((1, 2, 14)),
        open_window_days=chance.choice((1, 2, 7)),
        acceptance_window_days=chance.choice((1, 2, 30)),
        tracking_off_sends=chance.choice((1, 2, 50)),
        evidence_small=chance.choice((1, 3, 30)),
        quantile_repliers=chance.choice((1, 5)),
    )


def history_of(seed: int) -> History:
    """Return a world, and loads that end in it: each day once or twice, in any order, the last time as in the end."""
    chance = Random(seed)  # noqa: S311 - the same every time
    world = world_of(chance)
    order = [day for day in sorted(world.landed) for _ in range(chance.choice((1, 1, 2)))]
    chance.shuffle(order)
    steps: list[Step] = []
    for position, day in enumerate(order):
        builds = chance.random() < 4 / len(order)
        if day in order[position + 1 :]:
            version = earlier_version(world.landed[day], chance)
            steps.append(Step(day, version, chance.random() < 0.5, chance.random() < 0.8, builds))
        else:
            is_open, proved = day in world.open_days, day not in world.unproved_days
            steps.append(Step(day, list(world.landed[day]), is_open, proved, builds))
    steps = [*with_withdrawn_proofs(steps, chance)]
    return History(world, steps, statuses_change_after=chance.randrange(len(steps)))


def with_withdrawn_proofs(steps: list[Step], chance: Random) -> Iterator[Step]:
    """Yield the steps. Some loads that are not proved, or that are replaced later, lose their proof only later."""
    late: set[date] = set()
    for position, step in enumerate(steps):
        is_last = all(later.day != step.day for later in steps[position + 1 :])
        late.discard(step.day)
        if chance.random() < 0.5 and not (is_last and step.proved):
            late.add(step.day)
        gone = tuple(day for day in sorted(late) if chance.random() < 0.5 or position == len(steps) - 1)
        # A build before the withdrawal sees the proof.
        yield replace(step, proved=step.proved or step.day in late, builds=step.builds or bool(gone), withdrawn=gone)
        late.difference_update(gone)


def earlier_version(day: list[Activity], chance: Random) -> list[Activity]:
    """Return the day as it may have been read before: some not there yet, some else, replies without their label."""
    version = [
        replace(activity, category=chance.choice((activity.category, None, "BOUNCED", "INTERESTED")))
        for activity in day
        if chance.random() < 0.6
    ]
    gone = [replace(activity, salt="gone", type="message.sent") for activity in day[:1]]
    return version + (gone if chance.random() < 0.5 else [])


def live_through(workspace: Workspace, history: History) -> None:
    """Load and build as in the history. Sequences that the API knows are ACTIVE until their statuses change."""
    name_sequences(workspace, dict.fromkeys(history.final.statuses, "ACTIVE"))
    for number, step in enumerate(history.steps):
        workspace.land(step.day, step.version, is_open=step.is_open, proved=step.proved)
        if number == history.statuses_change_after:
            name_sequences(workspace, history.final.statuses)
        if step.builds:
            workspace.build()
        if step.withdrawn:
            workspace.withdraw_proof(*step.withdrawn)
            workspace.build()
    workspace.build()


def assert_equals_a_rebuild_and_the_oracle(lived: Workspace, fresh: Workspace, history: History) -> None:
    world = history.final
    live_through(lived, history)
    land_world(fresh, world)
    fresh.build(full_refresh=True)
    found, expected = lived.all_rows(), tables(world)
    assert found == fresh.all_rows()
    for table, rows in expected.items():
        assert canonical(found[table]) == canonical(rows), table


def workspaces(folder: Path, empty_file: Path, world: World) -> tuple[Workspace, Workspace]:
    """Return two empty workspaces."""
    files = [shutil.copy(empty_file, folder / f"{name}.duckdb") for name in ("lived", "fresh")]
    lived, fresh = (Workspace(str(file), world.zone, world.rules) for file in files)
    return lived, fresh


@pytest.mark.parametrize(
    "seed", [SMALL, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(30) if seed != SMALL)]
)
def test_any_order_of_loads_and_builds_equals_a_rebuild_and_the_definitions(
    tmp_path: Path, empty_file: Path, seed: int
) -> None:
    history = history_of(seed)
    assert_equals_a_rebuild_and_the_oracle(*workspaces(tmp_path, empty_file, history.final), history)


@pytest.mark.full
def test_a_lake_ends_in_the_same_rows(tmp_path: Path, empty_file: Path) -> None:
    history = history_of(SMALL)
    _, fresh = workspaces(tmp_path, empty_file, history.final)
    lived = Workspace(f"ducklake:{tmp_path / 'lived.ducklake'}", history.final.zone, history.final.rules)
    assert_equals_a_rebuild_and_the_oracle(lived, fresh, history)


@pytest.mark.full
def test_the_worlds_leave_nothing_out() -> None:
    """Equal tables prove little where nothing happened."""
    worlds = [history_of(seed).final for seed in range(30)]
    assert {(world.zone, min(world.landed)) for world in worlds} == {*PLACES}
    assert {status for world in worlds for status in world.statuses.values()} == {*STATUSES} - {None}
    filled: set[tuple[str, str]] = set()
    columns: set[tuple[str, str]] = set()
    for world in worlds:
        for table, rows in tables(world).items():
            columns |= {(table, name) for name in rows[0]} if rows else set()
            filled |= {(table, name) for row in rows for name, value in row.items() if value}
    # test_decision_worlds and test_volume_worlds have the months that these need.
    long = ("reply_timing", "sequence_signals", "sequence_forecast")
    assert {column for column in columns - filled if column[0] not in long} - NEED_MONTHS == set()
