"""Which steps runs reach, which step gets the reply, and where runs end."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from topo_pipeline_tests.engagement.helpers import Activity, Cases, Row, Test, Workspace, enrolled, march, replied, sent
from topo_pipeline_tests.engagement.oracle import days

LAST_DAY = date(2026, 4, 30)
AS_OF = datetime(2026, 5, 1, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
EXITS = ("exits_replied", "exits_stopped", "exits_completed", "exits_active")


def step(event: str, at: datetime, run: str = "A", **details: Any) -> Activity:
    return Activity(f"sequence_step.{event}", at, run, **{"channel": "EMAIL"} | details)


cases = Cases()


def happened(*activities: Activity, runs: Iterable[str] = "ABC") -> Callable[[Test], Test]:
    """Decorate a test with what happened to runs that enrolled on 28 February, known up to the end of April."""
    return cases.happened(*(enrolled(march(0), run) for run in runs), *activities)


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    shared.land_all(cases.activities, *days(march(0).date(), LAST_DAY))
    shared.build("sequence_activity", "sequence_runs", "sequence_channels", "sequence_steps")
    return shared


def share(row: Row, rate: str) -> tuple[int, int]:
    return row[f"{rate}_num"], row[f"{rate}_den"]


@happened(
    sent(march(1), "A", step=1),
    sent(march(2), "A"),
    Activity("invitation.sent", march(3), "A"),
    sent(march(1), "B"),
    sent(march(2), "B", step=2),
    sent(march(3), "B"),
)
def test_a_row_has_a_step_or_a_position_and_never_both(case: Workspace) -> None:
    rows = case.steps()
    assert {place: row["runs_reached"] for place, row in rows.items()} == {
        (1, None, "EMAIL"): 1,
        (2, None, "EMAIL"): 1,
        (None, 1, "EMAIL"): 1,
        (None, 2, "EMAIL"): 1,
        (None, 3, "EMAIL"): 1,
        (None, 3, "LINKEDIN"): 1,
    }
    assert {row["step_coverage"] for row in rows.values()} == {2 / 6}


@happened(sent(march(1), step=1), sent(march(2), step=1), sent(march(1), "B", step=1))
def test_a_run_reaches_a_step_once_however_often_it_is_touched_there(case: Workspace) -> None:
    row = case.steps()[1, None, "EMAIL"]
    assert (row["runs_reached"], row["sends"]) == (2, 3)


@happened(
    *(sent(march(1), run, step=1) for run in "ABC"),
    replied(march(2), "A"),
    *(sent(march(3), run, step=2) for run in "ABC"),
    replied(march(4), "B"),
)
def test_a_reply_rate_of_a_step_leaves_out_runs_that_replied_before_it(case: Workspace) -> None:
    rows = case.steps()
    assert share(rows[1, None, "EMAIL"], "step_reply_rate") == (1, 3)
    assert share(rows[2, None, "EMAIL"], "step_reply_rate") == (1, 2)


@happened(
    sent(march(1), step=1),
    replied(march(2), category="OUT_OF_OFFICE"),
    sent(march(3), step=2),
    replied(march(4)),
    sent(march(5), step=3),
    replied(march(6)),
)
def test_only_the_first_valid_reply_of_a_run_belongs_to_a_step(case: Workspace) -> None:
    rows = case.steps()
    shares = {place[0]: share(row, "step_reply_rate") for place, row in rows.items()}
    assert shares == {1: (0, 1), 2: (1, 1), 3: (0, 0)}


@happened(replied(march(1)), sent(march(2), step=1), replied(march(3)))
def test_a_reply_before_any_touch_belongs_to_no_step_and_a_later_one_is_not_the_first(case: Workspace) -> None:
    row = case.steps()[1, None, "EMAIL"]
    assert share(row, "step_reply_rate") == (0, 0)
    assert share(row, "share_of_replies") == (0, 0)


REPLIED_UNTIL = march(1) + 14 * DAY


@happened(
    *(sent(march(1), run, step=1) for run in "ABC"),
    replied(REPLIED_UNTIL, "A"),
    replied(REPLIED_UNTIL + SECOND, "B"),
    sent(AS_OF - 14 * DAY + SECOND, "D", step=1),
    sent(AS_OF - 14 * DAY, "E", step=1),
    runs="ABCDE",
)
def test_a_step_reply_rate_has_a_window_of_fourteen_days_and_a_share_of_replies_has_none(case: Workspace) -> None:
    row = case.steps()[1, None, "EMAIL"]
    assert share(row, "step_reply_rate") == (1, 4)
    assert share(row, "share_of_replies") == (2, 2)


def again(run: str, at: datetime) -> list[Activity]:
    return [sent(march(1), run, step=1, message=f"{run} first"), sent(at, run, step=1, message=f"{run} second")]


@happened(
    *again("A", march(11)),
    replied(march(14), "A", message="A second"),
    *again("B", march(11)),
    replied(march(16), "B", message="B second"),  # five days after it, fifteen after the first
    *again("C", AS_OF - 14 * DAY + SECOND),
    replied(AS_OF - DAY, "C", message="C second"),
)
def test_a_window_starts_with_the_first_message_of_the_run_in_the_step(case: Workspace) -> None:
    row = case.steps()[1, None, "EMAIL"]
    assert share(row, "step_reply_rate") == (1, 3)
    assert (row["runs_reached"], row["sends"], share(row, "share_of_replies")) == (3, 6, (3, 3))


@happened(
    *(sent(march(day), run, step=day, message=f"{run} {day}") for run in "ABC" for day in (1, 2)),
    replied(march(3), "A", message="A 1"),
    replied(march(3), "B"),
    replied(march(3), "C"),
    replied(march(3), "D"),  # never touched, so it answers nothing
    runs="ABCD",
)
def test_shares_of_replies_are_over_the_replies_that_answer_a_row(case: Workspace) -> None:
    rows = case.steps()
    assert {place[0]: share(row, "share_of_replies") for place, row in rows.items()} == {1: (1, 3), 2: (2, 3)}


@happened(
    sent(march(1)),
    step("completed", march(1), "A", step=1),
    step("skipped", march(1), "B", step=1),
    step("completed", march(1), "C", step=1),
    step("skipped", march(2), "C", step=2, channel="MANUAL"),
    step("skipped", march(3), "C"),
)
def test_a_step_is_skipped_or_completed_and_a_position_has_no_skip_rate(case: Workspace) -> None:
    rows = case.steps()
    assert set(rows) == {(None, 1, "EMAIL"), (1, None, "EMAIL"), (2, None, "MANUAL")}
    assert share(rows[1, None, "EMAIL"], "step_skip_rate") == (1, 3)
    assert share(rows[2, None, "MANUAL"], "step_skip_rate") == (1, 1)
    assert {v for name, v in rows[None, 1, "EMAIL"].items() if name.startswith("step_skip_rate")} == {None}
    task_only = rows[2, None, "MANUAL"]
    assert (task_only["runs_reached"], task_only["step_reply_rate"], task_only["step_reply_rate_den"]) == (0, None, 0)


OVER = AS_OF - 30 * DAY


@happened(
    *(sent(march(1), run, step=1) for run in "ABCD"),
    sent(march(2), "A", step=2),
    Activity("sequence.stopped", march(3), "A"),
    Activity("sequence.completed", AS_OF - SECOND, "B"),
    Activity("message.opened", OVER, "C"),
    Activity("message.opened", OVER + SECOND, "D"),  # not over yet
    runs="ABCD",
)
def test_runs_that_are_over_advance_when_their_last_touch_is_in_another_row(case: Workspace) -> None:
    rows = case.steps()
    assert share(rows[1, None, "EMAIL"], "advance_rate") == (1, 3)
    assert share(rows[2, None, "EMAIL"], "advance_rate") == (0, 1)


ENDS = {
    "replied": replied(march(3), "replied"),
    "positive": replied(march(3), "positive", category="INTERESTED"),
    "met": Activity("meeting.created", march(3), "met"),
    "stopped": Activity("sequence.stopped", march(3), "stopped"),
    "completed": Activity("sequence.completed", march(3), "completed"),
    "active": Activity("message.opened", march(3), "active"),
}


@happened(*(sent(march(day), run, step=day) for run in ENDS for day in (1, 2)), *ENDS.values(), runs=ENDS)
def test_a_run_ends_in_the_row_of_its_last_touch(case: Workspace) -> None:
    rows = case.steps()
    assert [rows[2, None, "EMAIL"][exit_] for exit_ in EXITS] == [3, 1, 1, 1]
    assert [rows[1, None, "EMAIL"][exit_] for exit_ in EXITS] == [0, 0, 0, 0]


@happened(
    sent(march(1), "A", step=1),
    sent(march(1), "A", step=1, channel="LINKEDIN"),
    sent(march(2), "B", step=2),
    sent(march(3), "B", step=1),
    sent(march(1), "C"),
    sent(march(2), "C", step=7),
)
def test_every_touched_run_ends_in_exactly_one_row(case: Workspace) -> None:
    rows = case.steps()
    assert sum(row[exit_] for row in rows.values() for exit_ in EXITS) == 3


@happened(
    *(sent(march(1), step=1), sent(march(1), "Z", step=1), replied(march(2), "Z")),
    step("skipped", march(3), "Z", step=1),
)
def test_left_censored_runs_are_in_no_number(case: Workspace) -> None:
    """Z has no enrolment, and history begins a day before its first activity."""
    row = case.steps()[1, None, "EMAIL"]
    assert (row["runs_reached"], row["sends"], share(row, "share_of_replies")) == (1, 1, (0, 0))
    assert (share(row, "step_reply_rate"), share(row, "step_skip_rate")) == ((0, 1), (0, 0))


@happened(sent(march(1), step=1, channel="CARRIER_PIGEON"), sent(march(2), step=1, channel=None))
def test_unknown_and_missing_channels_have_rows_of_their_own(case: Workspace) -> None:
    rows = case.steps()
    assert set(rows) == {(1, None, "OTHER"), (1, None, "NONE")}


@happened(
    *(sent(march(1), run, step=1, message=f"{run} 1") for run in "AB"),
    *(Activity("message.opened", march(2, hour), "A", message="A 1") for hour in (9, 10)),
    Activity("message.opened", AS_OF - DAY, "B", message="B 1"),
    Activity("message.link_clicked", AS_OF - DAY, "B", message="B 1"),
    *(sent(march(2), "A", step=1, message="A again"), Activity("message.opened", march(3), "A", message="A again")),
    *(sent(march(3), "A", step=2), sent(march(4), "A", step=2, channel="LINKEDIN")),
    sent(march(4), "B"),
)
def test_opens_and_clicks_are_the_emails_of_the_row_that_got_one_however_late(case: Workspace) -> None:
    rows = case.steps()
    assert {place: (row["opens"], row["clicks"]) for place, row in rows.items()} == {
        (1, None, "EMAIL"): (3, 1),
        (2, None, "EMAIL"): (0, 0),
        (2, None, "LINKEDIN"): (None, None),
        (None, 2, "EMAIL"): (0, 0),
    }


@happened(
    *(sent(march(1), run, step=1, message=f"{run} 1") for run in "ABC"),
    *(replied(march(2), run, message=f"{run} 1", category="BAD_TIMING") for run in "AB"),
    *(sent(march(3), run, step=2, message=f"{run} 2") for run in "AB"),
    *(
        replied(AS_OF - DAY, "A", message="A 2", category="INTERESTED"),
        replied(AS_OF - SECOND, "A", category="MEETING"),
    ),
    replied(march(4), "B", message="B 2", category="UNSUBSCRIBED"),
    replied(march(5), "B", message="B 1", category="UNSUBSCRIBED"),
    replied(march(5), "C", message="C 1", category="MEETING"),
    *(replied(march(1), "D", category="MEETING"), sent(march(2), "D", step=2)),  # before any touch
    runs="ABCD",
)
def test_positive_replies_and_opt_outs_belong_to_the_row_that_the_first_of_them_answers(case: Workspace) -> None:
    columns = ("positive_replies", "opt_outs")
    rows = {place[0]: row for place, row in case.steps().items()}
    assert {step: tuple(row[name] for name in columns) for step, row in rows.items()} == {1: (1, 0), 2: (1, 1)}
    assert {step: share(row, "share_of_replies") for step, row in rows.items()} == {1: (3, 3), 2: (0, 3)}


@happened(
    *(step("completed", march(1), run, step=1) for run in "ABCDEF"),
    *(step("completed", march(2), run, step=2, channel="LINKEDIN") for run in "AB"),
    step("skipped", march(3), "A", step=3),
    Activity("sequence.completed", march(3), "C"),
    Activity("sequence.stopped", march(3), "D"),
    Activity("sequence.paused", march(3), "E"),
    step("completed", march(4), "F"),
    sent(march(4), "F"),
    *(step("completed", march(2), "Z", step=1), step("completed", march(3), "X", step=4)),
    *(Activity("sequence.stopped", march(4), "X"), enrolled(march(0), "X", salt="X")),
    runs="ABCDEF",
)
def test_active_runs_wait_in_the_row_of_their_last_completed_step(case: Workspace) -> None:
    """Paused runs are active. C, D and X are over, and Z is left-censored."""
    assert {place: row["active_runs"] for place, row in case.steps().items()} == {
        (1, None, "EMAIL"): 2,
        (2, None, "LINKEDIN"): 2,
        (3, None, "EMAIL"): 0,
        (4, None, "EMAIL"): 0,
        (None, 1, "EMAIL"): None,
    }


@pytest.fixture
def with_unknown_day(workspace: Workspace) -> Workspace:
    """March is known, but for the 3rd."""
    again = [
        *(sent(march(2), "again", step=1, message="first"), sent(march(10), "again", step=1, message="second")),
        replied(march(11), "again", message="second"),
    ]
    happened = [
        *(enrolled(march(1), run) for run in ("again", "late", "early")),
        *(sent(march(2), "early", step=1), replied(march(4), "early")),
        *(sent(march(4), "late", step=1), replied(march(5), "late")),
    ]
    workspace.land_all([*happened, *again], *days(march(1).date(), march(31).date()), unproved_days=[march(3).date()])
    workspace.build()
    return workspace


def test_a_send_with_an_unknown_day_in_its_window_is_in_no_reply_rate(with_unknown_day: Workspace) -> None:
    """The first message of two runs came the day before the unknown one. One of them answers its second message."""
    row = with_unknown_day.steps()[1, None, "EMAIL"]
    assert (row["runs_reached"], row["sends"], share(row, "share_of_replies")) == (3, 4, (3, 3))
    assert (share(row, "step_reply_rate"), row["left_out_for_reply"]) == ((1, 1), 2)
