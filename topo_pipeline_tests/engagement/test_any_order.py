"""The tables are a function of what is landed: any order of loads, reloads and builds ends in the same rows."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, by_day, canonical
from topo_pipeline_tests.engagement.oracle import KNOWN, Oracle

FIRST_DAY = date(2026, 3, 26)  # Europe/Paris changes its clocks on the 29th
DAYS = 5
ZONES = ("UTC", "Europe/Paris", "America/New_York")
CATEGORIES = (
    None,
    "INTERESTED",
    "MEETING",
    "OUT_OF_OFFICE",
    "BAD_TIMING",
    "UNKNOWN",
    "Brand New",
    "'); DROP TABLE x;--",
)
FREQUENT = ("message.sent", "message.sent", "message.opened", "message.replied", "message.replied", "sequence.created")
# A world takes a second to live through: shrinking one would take minutes, and says little more than the table's name.
SAME_EVERY_TIME = settings(
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@dataclass(frozen=True)
class World:
    """What ends up landed, and the way there: each load brings a version of its day, and builds may follow it."""

    zone: str
    rules: Rules
    final: dict[date, list[Activity]]
    open_day: date | None
    loads: list[tuple[date, list[Activity], bool]]


@st.composite
def activities(draw: st.DrawFn) -> Activity:
    start = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, 6, tzinfo=UTC)
    # Whole hours collide, now and then, to the second; the ones around midnight belong to a day by the zone.
    moment = start + timedelta(hours=draw(st.integers(0, 24 * DAYS - 13)), seconds=draw(st.sampled_from((0, 0, 9))))
    type_ = draw(st.sampled_from((*sorted(KNOWN), *FREQUENT, "message.bounced", "orphan", "none", None)))
    return Activity(
        type_,
        moment,
        run=draw(st.sampled_from(("A", "B", "C", "D", "E", "A", "B", "C", None))),
        sequence=draw(st.sampled_from(("outbound", "outbound", "nurture", None))),
        person=draw(st.sampled_from(("Ada", "Bob", None))),
        channel=draw(st.sampled_from((None, "EMAIL", "LINKEDIN", "MANUAL", "CARRIER_PIGEON"))),
        category=draw(st.sampled_from(CATEGORIES)) if type_ == "message.replied" else None,
        snake_case=draw(st.booleans()),
        message=draw(st.sampled_from((None, "first", "second"))),
        step=draw(st.sampled_from((None, None, 1, 2, 3))),
        task=draw(st.sampled_from((None, "call", "visit"))),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    zone = draw(st.sampled_from(ZONES))
    happened = draw(st.lists(activities(), min_size=8, max_size=60, unique_by=lambda activity: activity.id))
    quiet = draw(st.sets(st.integers(0, DAYS), max_size=2))
    final = {FIRST_DAY + timedelta(days=day): list[Activity]() for day in quiet} | by_day(happened, zone)
    tokens = draw(st.permutations([day for day in sorted(final) for _ in range(draw(st.integers(1, 2)))]))
    loads: list[tuple[date, list[Activity], bool]] = []
    for position, day in enumerate(tokens):
        is_last = day not in tokens[position + 1 :]
        loads.append((day, final[day] if is_last else draw(earlier_version(final[day])), draw(st.integers(0, 2)) == 1))
    return World(
        zone=zone,
        rules=Rules(
            reply_window_days=draw(st.sampled_from((1, 2, 30))),
            censored_days=draw(st.sampled_from((0, 2, 3, 30))),
            message_reply_window_days=draw(st.sampled_from((1, 2, 14))),
            open_window_days=draw(st.sampled_from((1, 2, 7))),
            acceptance_window_days=draw(st.sampled_from((1, 2, 30))),
            tracking_off_sends=draw(st.sampled_from((1, 2, 50))),
        ),
        final=final,
        open_day=draw(st.sampled_from((None, max(final), min(final)))),
        loads=loads,
    )


@st.composite
def earlier_version(draw: st.DrawFn, day: list[Activity]) -> list[Activity]:
    """The day as it may have been read before: some not there yet, some else, replies without their label."""
    version = [
        replace(activity, category=draw(st.sampled_from((activity.category, None, "BOUNCED", "INTERESTED"))))
        for activity in day
        if draw(st.booleans())
    ]
    gone = [replace(activity, salt="gone", type="message.sent") for activity in day[:1]]
    return version + (gone if draw(st.booleans()) else [])


def live_through(workspace: Workspace, world: World) -> None:
    waiting: list[tuple[date, list[Activity]]] = []
    for day, version, builds in world.loads:
        waiting.append((day, version))
        if builds:
            workspace.land_each(waiting, world.open_day)
            workspace.build()
            waiting.clear()
    workspace.land_each(waiting, world.open_day)
    workspace.build()


def oracle_of(world: World) -> Oracle:
    return Oracle(
        landed=world.final,
        open_days=frozenset({world.open_day} - {None}),
        zone=world.zone,
        window=timedelta(days=world.rules.reply_window_days),
        censored_days=world.rules.censored_days,
        message_window=timedelta(days=world.rules.message_reply_window_days),
        open_window=timedelta(days=world.rules.open_window_days),
        acceptance_window=timedelta(days=world.rules.acceptance_window_days),
        tracking_off_sends=world.rules.tracking_off_sends,
    )


def assert_equals_a_rebuild_and_the_oracle(lived: Workspace, fresh: Workspace, world: World) -> None:
    live_through(lived, world)
    happened = [activity for day in world.final.values() for activity in day]
    fresh.land_all(happened, *world.final, still_open=world.open_day)
    fresh.build(full_refresh=True)
    found, expected = lived.all_rows(), oracle_of(world).tables()
    assert found == fresh.all_rows()
    for table, rows in expected.items():
        assert canonical(found[table]) == canonical(rows), table


@settings(SAME_EVERY_TIME, max_examples=3)  # the first of which is the smallest world that there is
@given(world=worlds())
def test_any_order_of_loads_and_builds_equals_a_rebuild_and_the_definitions(
    tmp_path_factory: pytest.TempPathFactory, world: World
) -> None:
    assert_on_files(tmp_path_factory, world)


@pytest.mark.full
@settings(SAME_EVERY_TIME, max_examples=12)
@given(world=worlds())
def test_any_order_equals_a_rebuild_in_more_worlds(tmp_path_factory: pytest.TempPathFactory, world: World) -> None:
    assert_on_files(tmp_path_factory, world)


def assert_on_files(tmp_path_factory: pytest.TempPathFactory, world: World) -> None:
    folder = tmp_path_factory.mktemp("world")
    lived, fresh = (Workspace(str(folder / f"{name}.duckdb"), world.zone, world.rules) for name in ("lived", "fresh"))
    assert_equals_a_rebuild_and_the_oracle(lived, fresh, world)


@pytest.mark.full
@settings(SAME_EVERY_TIME, max_examples=1)
@given(world=worlds().filter(lambda world: len(world.loads) in (6, 7) and sum(map(len, world.final.values())) > 20))
def test_a_lake_ends_in_the_same_rows(tmp_path_factory: pytest.TempPathFactory, world: World) -> None:
    folder = tmp_path_factory.mktemp("lake")
    lived = Workspace(f"ducklake:{folder / 'lived.ducklake'}", world.zone, world.rules)
    fresh = Workspace(str(folder / "fresh.duckdb"), world.zone, world.rules)
    assert_equals_a_rebuild_and_the_oracle(lived, fresh, world)
