"""Messages by weekday and hour of the send, and the replies to them."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Cases, Row, Workspace, enrolled, march, replied, sent
from topo_pipeline_tests.engagement.oracle import days, rate

DAY_0, LAST_DAY = date(2026, 2, 28), date(2026, 4, 30)
AS_OF = datetime(2026, 5, 1, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
SHARES = ("reply_rate", "reply_rate_low", "reply_rate_high")

cases = Cases()


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    """All cases, with every day from 28 February to 30 April known."""
    shared.land_all(cases.activities, *days(DAY_0, LAST_DAY))
    shared.build("sequence_activity", "sequence_runs", "sequence_timing")
    return shared


def cells(workspace: Workspace, channel: str = "EMAIL") -> dict[tuple[int, int], Row]:
    """Return the rows of a channel by weekday and hour."""
    rows = workspace.rows_of("sequence_timing")
    return {(row["weekday"], row["hour"]): row for row in rows if row["channel"] == channel}


def share(row: Row) -> tuple[int, int]:
    return row["reply_rate_num"], row["reply_rate_den"]


@cases.happened(
    enrolled(march(0)),
    *(sent(march(2, 9, 59, 59)), sent(march(2, 10)), sent(march(9, 10, 30))),  # Mondays
    *(sent(march(8, 0)), sent(march(8, 23, 59, 59))),  # a Sunday
    *(sent(march(2, 10), channel=channel, salt=str(channel)) for channel in ("LINKEDIN", "FAX", None)),
    Activity("invitation.sent", march(3, 10)),
)
def test_a_row_is_a_channel_a_weekday_and_an_hour(case: Workspace) -> None:
    assert {cell: row["sends"] for cell, row in cells(case).items()} == {(1, 9): 1, (1, 10): 2, (7, 0): 1, (7, 23): 1}
    for channel in ("LINKEDIN", "OTHER", "NONE"):
        assert {cell: row["sends"] for cell, row in cells(case, channel).items()} == {(1, 10): 1}


REPLIED_UNTIL = march(2) + 14 * DAY


@cases.happened(
    *(did for run in "ABC" for did in (enrolled(march(0), run), sent(march(2), run, message=run))),
    replied(REPLIED_UNTIL, "A", message="A"),
    replied(REPLIED_UNTIL + SECOND, "B", message="B"),
    replied(march(3), "C", message="C", category="OUT_OF_OFFICE"),
    *(sent(march(3), "C", message="C again"), replied(march(4), "C", message="C again")),
)
def test_a_valid_reply_counts_for_the_message_that_it_answers_within_fourteen_days(case: Workspace) -> None:
    assert {cell: share(row) for cell, row in cells(case).items()} == {(1, 9): (1, 3), (2, 9): (1, 1)}


CLOSES = AS_OF - 14 * DAY  # Friday 17 April, 0:00


@cases.happened(
    *(did for run in "ABZ" for did in (enrolled(march(0), run),) if run != "Z"),
    *(sent(CLOSES, "A"), sent(CLOSES + SECOND, "B"), sent(march(6, 0), "Z"), replied(march(7), "Z")),
)
def test_open_windows_and_left_censored_runs_are_in_sends_and_in_no_rate(case: Workspace) -> None:
    row = cells(case)[5, 0]
    assert (row["sends"], share(row)) == (3, (0, 1))


def of_size(sends: int, replies: int) -> str:
    runs = [str(number) for number in range(sends)]
    begun = [did for run in runs for did in (enrolled(march(0), run), sent(march(2), run))]
    return cases.add(*begun, *(replied(march(3), run) for run in runs[:replies]))


@pytest.mark.parametrize(
    ("case", "sends", "replies"), [(of_size(29, 29), 29, 29), (of_size(30, 3), 30, 3)], indirect=["case"]
)
def test_a_cell_with_little_evidence_has_counts_and_no_rate(case: Workspace, sends: int, replies: int) -> None:
    row = cells(case)[1, 9]
    expected = rate("reply_rate", replies, sends)
    if sends < 30:
        expected |= dict.fromkeys(SHARES)
    assert row["sends"] == sends
    assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_the_smallest_number_of_messages_for_a_rate_is_a_setting(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(2)), replied(march(3))], *days(DAY_0, march(31).date()))
    workspace.build(rules=Rules(evidence_small=1))
    assert cells(workspace)[1, 9]["reply_rate"] == 1.0
    workspace.build(rules=Rules(evidence_small=0, message_reply_window_days=60))
    assert (share(cells(workspace)[1, 9]), cells(workspace)[1, 9]["reply_rate"]) == ((0, 0), None)


def test_a_message_with_an_unknown_day_in_its_window_is_in_sends_and_in_no_rate(workspace: Workspace) -> None:
    """Tuesday 17 March is not proved. Fourteen days from the 2nd end before it, and from the 3rd in it."""
    happened = [did for day in (2, 3, 17, 18) for did in (enrolled(march(day), str(day)), sent(march(day), str(day)))]
    workspace.land_all(happened, *days(date(2026, 3, 1), LAST_DAY), unproved_days=[date(2026, 3, 17)])
    workspace.build()
    columns = ("sends", "reply_rate_den", "left_out_for_reply")
    found = {cell: tuple(row[name] for name in columns) for cell, row in cells(workspace).items()}
    assert found == {(1, 9): (1, 1, 0), (2, 9): (2, 0, 2), (3, 9): (1, 1, 0)}


@pytest.mark.parametrize(
    ("zone", "clocks"),
    [
        (
            "Europe/Paris",
            [
                datetime(2026, 3, 29, 3, 15, tzinfo=UTC),  # the hour after 2:00 is 3:00
                datetime(2026, 10, 25, 2, 15, tzinfo=UTC),  # the first of two such hours
                datetime(2026, 3, 30, 0, 15, tzinfo=UTC),  # 22:15 of Sunday in UTC
            ],
        ),
        ("Australia/Lord_Howe", [datetime(2026, 10, 4, 2, 30, tzinfo=UTC)]),  # 2:00 to 2:30 is skipped
        pytest.param("Asia/Kolkata", [datetime(2026, 3, 30, 0, 15, tzinfo=UTC)], marks=pytest.mark.full),
        pytest.param("America/New_York", [datetime(2026, 3, 8, 20, 30, tzinfo=UTC)], marks=pytest.mark.full),
    ],
)
def test_weekday_and_hour_are_local(workspace: Workspace, zone: str, clocks: list[datetime]) -> None:
    workspace.zone, times = zone, [clock.replace(tzinfo=ZoneInfo(zone)) for clock in clocks]
    happened = [make(at.astimezone(UTC), str(at)) for at in times for make in (enrolled, sent)]
    workspace.land_all(happened, max(times).date() + DAY)
    workspace.build()
    expected = {(at.isoweekday(), at.hour): 1 for at in times}
    assert {cell: row["sends"] for cell, row in cells(workspace).items()} == expected
