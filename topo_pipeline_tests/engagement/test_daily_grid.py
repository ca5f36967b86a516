"""The daily table is dense over landed days, has nothing to say of others, and its days are the zone's."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from topo_pipeline_tests.engagement.helpers import (
    DAILY,
    KEPT,
    Activity,
    Cases,
    Workspace,
    enrolled,
    is_of,
    march,
    opened,
    sent,
)

DAY_1, DAY_2, DAY_3, DAY_4 = (date(2026, 3, day) for day in (1, 2, 3, 4))


cases = Cases()


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    shared.land_all(cases.activities, DAY_1, DAY_2, DAY_3, DAY_4)
    shared.build("sequence_activity", "sequence_runs", "sequence_daily", "sequence_cohorts", "sequence_summary")
    return shared


def test_a_landed_quiet_day_is_a_zero_and_a_missing_day_is_no_row(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(4))], DAY_2)
    workspace.build()
    daily = workspace.daily()
    assert list(daily) == [DAY_1, DAY_2, DAY_4]
    counts = {name: value for name, value in daily[DAY_2].items() if name.startswith(("total_", "unique_"))}
    assert set(counts.values()) == {0}
    assert len(counts) == 22
    assert workspace.summary()["days_missing"] == 1


@cases.happened(enrolled(march(1)), enrolled(march(3), "B", sequence="nurture"))
def test_a_sequence_begins_on_its_first_day_and_goes_on_to_the_last_landed_one(case: Workspace) -> None:
    assert list(case.daily()) == [DAY_1, DAY_2, DAY_3, DAY_4]
    assert list(case.daily("nurture")) == [DAY_3, DAY_4]


def test_backfilling_the_missing_day_fills_its_row(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(3))])
    workspace.build(*KEPT)
    workspace.land(DAY_2, [opened(march(2))])
    workspace.build()
    assert workspace.daily()[DAY_2]["unique_opens"] == 1
    assert workspace.summary()["days_missing"] == 0


def test_a_sequence_that_begins_earlier_than_was_known_gets_the_days_between(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(3))], DAY_2)
    workspace.build(*KEPT)
    workspace.land(DAY_1, [opened(march(1))])
    workspace.build()
    assert list(workspace.daily()) == [DAY_1, DAY_2, DAY_3]


@cases.happened(sent(march(1), run=None))
def test_an_orphan_begins_a_sequence_whose_days_are_zeros(case: Workspace) -> None:
    assert [row["total_sent"] for row in case.daily().values()] == [0, 0, 0, 0]


def test_an_open_day_says_so_until_it_is_read_again_after_its_end(workspace: Workspace) -> None:
    workspace.land(DAY_1, [enrolled(march(1))])
    workspace.land(DAY_2, [sent(march(2))], is_open=True)
    workspace.build(*DAILY)
    assert [row["is_closed"] for row in workspace.daily().values()] == [True, False]
    workspace.land(DAY_2, [sent(march(2))])
    workspace.build()
    assert [row["is_closed"] for row in workspace.daily().values()] == [True, True]


@cases.happened(
    *(enrolled(march(1), run) for run in "ABC"),
    enrolled(march(2), "D"),
    Activity("sequence.paused", march(2), "A"),
    Activity("sequence.completed", march(2), "B"),
    Activity("sequence.stopped", march(3), "B"),
    Activity("sequence.stopped", march(3), "C"),
    opened(march(4), "C"),
    Activity("sequence.completed", march(4), "D"),
)
def test_active_runs_are_the_stock_at_the_end_of_the_day(case: Workspace) -> None:
    # A stays: paused is not ended. B ends once, on its first end. C stays ended although it is opened afterwards.
    assert [row["active_runs"] for row in case.daily().values()] == [3, 3, 2, 1]
    assert case.summary()["runs_active"] == 1


def test_active_runs_add_up_over_a_missing_day_and_apart_by_sequence(workspace: Workspace) -> None:
    workspace.land_all(
        [
            enrolled(march(1)),
            enrolled(march(3), "B"),
            enrolled(march(3), "C", sequence="nurture"),
            opened(march(3), "N", sequence=None),
        ]
    )
    workspace.build()
    assert [row["active_runs"] for row in workspace.daily().values()] == [1, 2]
    assert [row["active_runs"] for row in workspace.daily("nurture").values()] == [1]
    assert [row["active_runs"] for row in workspace.daily(None).values()] == [1]


@cases.happened(enrolled(march(1)), Activity("sequence.stopped", march(1, 10)))
def test_a_run_that_ends_on_the_day_it_begins_was_never_active_at_its_end(case: Workspace) -> None:
    assert [row["active_runs"] for row in case.daily().values()] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Paris", date(2026, 3, 29), 23),
        pytest.param("Europe/Paris", date(2026, 10, 25), 25, marks=pytest.mark.full),
        pytest.param("America/New_York", date(2026, 3, 8), 23, marks=pytest.mark.full),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Atlantic/Azores", date(2026, 10, 25), 25),  # of two midnights
        ("Africa/Cairo", date(2026, 4, 24), 23),  # of none
    ],
)
def test_the_days_are_the_zones_also_when_its_clocks_change(
    workspace: Workspace, zone: str, day: date, hours: int
) -> None:
    workspace.zone = zone
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    length = timedelta(hours=hours)
    at_2330 = datetime(day.year, day.month, day.day, 23, 30, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    assert at_2330 == midnight + length - timedelta(minutes=30)
    workspace.land_all(
        [
            enrolled(midnight - timedelta(seconds=1)),
            sent(midnight),
            opened(at_2330),
            Activity("sequence.completed", at_2330 + timedelta(minutes=29, seconds=59)),
            Activity("meeting.created", midnight + length),
        ]
    )
    workspace.build()
    before, during, after = workspace.daily().values()
    assert [row["day"] for row in (before, during, after)] == [day - timedelta(1), day, day + timedelta(1)]
    for kind, on in (("found", before), ("sent", during), ("opens", during), ("meetings", after)):
        for row in (before, during, after):
            assert (row[f"total_{kind}"], row[f"unique_{kind}"]) == ((1, 1) if row is on else (0, 0)), kind
    assert [row["active_runs"] for row in (before, during, after)] == [1, 0, 0]
    assert workspace.summary()["as_of"] == midnight_after(day + timedelta(1), zone)


def midnight_after(day: date, zone: str) -> datetime:
    following = day + timedelta(days=1)
    return datetime(following.year, following.month, following.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def test_every_run_of_a_sequence_without_a_name_is_under_null(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1), sequence=None), sent(march(2), sequence=None)])
    workspace.build()
    rows = workspace.rows("sequence_daily")
    assert all(is_of(row, None) for row in rows)
    assert [row["unique_sent"] for row in rows] == [0, 1]
    assert workspace.summary(None)["runs"] == 1
