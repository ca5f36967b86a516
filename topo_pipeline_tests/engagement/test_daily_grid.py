"""`sequence_daily` has a row for every landed day and no other, and its days are those of the reporting zone."""

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from topo_pipeline_tests.engagement.helpers import (
    DAILY,
    KEPT,
    Activity,
    Cases,
    Workspace,
    enrolled,
    march,
    opened,
    replied,
    sent,
)

DAY_1, DAY_2, DAY_3, DAY_4 = (date(2026, 3, day) for day in (1, 2, 3, 4))


cases = Cases()


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    shared.land_all(cases.activities, DAY_1, DAY_2, DAY_3, DAY_4)
    shared.build("sequence_activity", "sequence_runs", "sequence_daily", "sequence_cohorts", "sequence_summary")
    return shared


@pytest.fixture(scope="module")
def with_a_gap(tmp_path_factory: pytest.TempPathFactory, empty_file: Path) -> Workspace:
    """The second day is quiet, and the third is missing. Tests must not change it."""
    workspace = Workspace(str(shutil.copy(empty_file, tmp_path_factory.mktemp("gap"))))
    workspace.land_all(
        [
            *(enrolled(march(1)), sent(march(4))),
            enrolled(march(4), "B"),
            enrolled(march(4), "C", sequence="nurture"),
            *(enrolled(march(1), "N", sequence=None), sent(march(2), "N", sequence=None)),
        ],
        DAY_2,
    )
    workspace.build()
    return workspace


def test_a_quiet_landed_day_has_zeros_and_a_missing_day_has_no_row(with_a_gap: Workspace) -> None:
    daily = with_a_gap.daily()
    assert list(daily) == [DAY_1, DAY_2, DAY_4]
    counts = {name for name in daily[DAY_2] if name.startswith(("total_", "unique_", "replies_", "opens_instant"))}
    assert len(counts) == 11 + 12 + 7 + 1
    assert {daily[DAY_2][name] for name in counts} == {0}
    assert with_a_gap.summary()["days_unknown"] == 1


def test_active_runs_by_sequence_continue_over_a_missing_day(with_a_gap: Workspace) -> None:
    assert [row["active_runs"] for row in with_a_gap.daily().values()] == [1, 1, 2]
    assert [row["active_runs"] for row in with_a_gap.daily("nurture").values()] == [1]
    assert [row["active_runs"] for row in with_a_gap.daily(None).values()] == [1, 1, 1]


def test_runs_whose_activities_all_name_no_sequence_are_under_null(with_a_gap: Workspace) -> None:
    assert [row["unique_sent"] for row in with_a_gap.daily(None).values()] == [0, 1, 0]
    assert with_a_gap.summary(None)["runs"] == 1


@cases.happened(enrolled(march(1)), enrolled(march(3), "B", sequence="nurture"))
def test_a_sequence_has_rows_from_its_first_day_to_the_last_landed_one(case: Workspace) -> None:
    assert list(case.daily()) == [DAY_1, DAY_2, DAY_3, DAY_4]
    assert list(case.daily("nurture")) == [DAY_3, DAY_4]


def test_backfilling_a_missing_day_and_an_earlier_one_adds_their_rows(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(2)), sent(march(4))])
    workspace.build(*KEPT)
    workspace.land_all([enrolled(march(1), "B"), opened(march(3))])
    workspace.build()
    assert list(workspace.daily()) == [DAY_1, DAY_2, DAY_3, DAY_4]
    assert workspace.daily()[DAY_3]["unique_opens"] == 1
    assert workspace.summary()["days_unknown"] == 0


@cases.happened(sent(march(1), run=None))
def test_a_sequence_of_orphans_alone_has_rows_of_zeros(case: Workspace) -> None:
    assert [row["total_sent"] for row in case.daily().values()] == [0, 0, 0, 0]


def test_a_day_is_closed_when_it_was_read_after_its_end_and_known_when_it_was_proved_too(workspace: Workspace) -> None:
    def flags() -> list[tuple[bool, bool]]:
        workspace.build(*DAILY)
        return [(row["is_closed"], row["is_known"]) for row in workspace.daily().values()]

    workspace.land(DAY_1, [enrolled(march(1))])
    workspace.land(DAY_2, [sent(march(2))], is_open=True)
    workspace.land(DAY_3, proved=False)
    assert flags() == [(True, True), (False, False), (True, False)]
    workspace.land(DAY_2, [sent(march(2))])
    workspace.land(DAY_3, is_open=True, proved=False)
    assert flags() == [(True, True), (True, True), (False, False)]


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
def test_active_runs_are_those_at_the_end_of_the_day(case: Workspace) -> None:
    # A stays active while paused. B ends once, with its first end. C has ended, although it has an open afterwards.
    assert [row["active_runs"] for row in case.daily().values()] == [3, 3, 2, 1]
    assert case.summary()["runs_active"] == 1


@cases.happened(enrolled(march(1)), Activity("sequence.stopped", march(1, 10)))
def test_a_run_that_ends_on_its_first_day_is_never_active_at_the_end_of_a_day(case: Workspace) -> None:
    assert [row["active_runs"] for row in case.daily().values()] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Atlantic/Azores", date(2026, 10, 25), 25),  # midnight comes twice
        ("Africa/Cairo", date(2026, 4, 24), 23),  # there is no midnight
        pytest.param("Europe/Paris", date(2026, 3, 29), 23, marks=pytest.mark.full),
        pytest.param("Europe/Paris", date(2026, 10, 25), 25, marks=pytest.mark.full),
        pytest.param("America/New_York", date(2026, 3, 8), 23, marks=pytest.mark.full),
        pytest.param("America/New_York", date(2026, 11, 1), 25, marks=pytest.mark.full),
    ],
)
def test_days_follow_the_clock_changes_of_the_reporting_zone(
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


@cases.happened(
    *(enrolled(march(1)), sent(march(1, 23, 59, 55), message="m"), opened(march(1, 23, 59, 59), message="m")),
    *(opened(march(2, 0, 0, 0), message="m"), opened(march(2, 0, 0, 5), message="m")),
    opened(march(2, 0, 0, 6), message="m"),  # 11 seconds after the send
    # Left-censored: enrolments exist, but none of this run.
    *(sent(march(3), "B"), opened(march(3), "B")),
)
def test_instant_opens_count_on_the_day_of_the_open_and_include_left_censored_runs(case: Workspace) -> None:
    assert case.run("B")["left_censored"]
    daily = case.daily()
    assert [daily[day]["opens_instant"] for day in (DAY_1, DAY_2, DAY_3, DAY_4)] == [1, 2, 1, 0]
    assert [daily[day]["total_opens"] for day in (DAY_1, DAY_2, DAY_3)] == [1, 3, 1]
    assert [daily[day]["unique_opens"] for day in (DAY_1, DAY_2, DAY_3)] == [1, 0, 0]
    assert case.summary()["opens_instant"] == 4


def test_a_late_send_makes_an_open_of_another_day_instant(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), opened(march(2, 0, 0, 5), message="m")])
    workspace.build(*DAILY)
    assert workspace.daily()[DAY_2]["opens_instant"] == 0
    workspace.land(DAY_1, [enrolled(march(1)), sent(march(1, 23, 59, 59), message="m")])
    workspace.build(*DAILY)
    assert [row["opens_instant"] for row in workspace.daily().values()] == [0, 1]


REPLIES = {
    None: "pending",
    "REFERRAL": "neutral",
    "NOT_INTERESTED": "negative",
    "UNSUBSCRIBED": "opt_out",
    "OUT_OF_OFFICE": "out_of_office",
    "BOUNCED": "bounced",
    "ADDED BY TOPO": "unknown",
}


@cases.happened(
    enrolled(march(1)),
    # One reply of the first class, two of the second and so on, on two channels.
    *(
        replied(march(2, 9, minute), category=category, channel=("EMAIL", "LINKEDIN")[minute % 2], salt=str(category))
        for count, category in enumerate(REPLIES, start=1)
        for minute in range(count)
    ),
    replied(march(3), category="INTERESTED"),
)
def test_replies_are_counted_by_class(case: Workspace) -> None:
    day, next_day, summary = case.daily()[DAY_2], case.daily()[DAY_3], case.summary()
    expected = {f"replies_{name}": count for count, name in enumerate(REPLIES.values(), start=1)}
    assert {name: day[name] for name in expected} == {name: summary[name] for name in expected} == expected
    assert {next_day[name] for name in expected} == {0}
    # All but the 5 out-of-office replies and the 6 bounces are valid.
    assert (day["total_replies"], day["total_valid_replies"], day["total_positive_replies"]) == (28, 17, 0)
