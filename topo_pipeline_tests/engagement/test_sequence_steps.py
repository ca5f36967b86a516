"""Where runs get to, which step brings the reply, and where they end."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from topo_pipeline_tests.engagement.helpers import Activity, Cases, Row, Test, Workspace, enrolled, march, replied, sent

LAST_DAY = date(2026, 4, 30)
AS_OF = datetime(2026, 5, 1, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
EXITS = ("exits_replied", "exits_stopped", "exits_completed", "exits_active")


def step(event: str, at: datetime, run: str = "A", **details: Any) -> Activity:
    return Activity(f"sequence_step.{event}", at, run, **{"channel": "EMAIL"} | details)


cases = Cases()


def happened(*activities: Activity, runs: Iterable[str] = "ABC") -> Callable[[Test], Test]:
    """The runs enrolled before March, and what happened to them, as April's end knows it."""
    return cases.happened(*(enrolled(march(0), run) for run in runs), *activities)


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    shared.land_all(cases.activities, LAST_DAY)
    shared.build("sequence_activity", "sequence_runs", "sequence_steps")
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
def test_a_row_is_of_a_step_or_of_a_position_and_never_of_both(case: Workspace) -> None:
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
def test_a_step_is_judged_by_runs_that_had_not_replied_before_it(case: Workspace) -> None:
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
def test_only_the_first_valid_reply_is_a_steps(case: Workspace) -> None:
    rows = case.steps()
    shares = {place[0]: share(row, "step_reply_rate") for place, row in rows.items()}
    assert shares == {1: (0, 1), 2: (1, 1), 3: (0, 0)}


@happened(replied(march(1)), sent(march(2), step=1), replied(march(3)))
def test_a_reply_before_any_touch_is_no_steps_and_a_later_one_is_not_the_first(case: Workspace) -> None:
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
def test_a_steps_reply_counts_within_fourteen_days_and_its_share_whenever(case: Workspace) -> None:
    row = case.steps()[1, None, "EMAIL"]
    assert share(row, "step_reply_rate") == (1, 4)
    assert share(row, "share_of_replies") == (2, 2)


def again(run: str, at: datetime) -> list[Activity]:
    return [sent(march(1), run, step=1, message=f"{run} first"), sent(at, run, step=1, message=f"{run} second")]


@happened(
    *again("A", march(11)),
    replied(march(20), "A", message="A second"),  # nine days after it, nineteen after the first
    *again("B", march(11)),
    replied(march(20), "B", message="B first"),
    *again("C", AS_OF - 14 * DAY + SECOND),
    replied(AS_OF - DAY, "C", message="C second"),  # of which nothing is known yet
)
def test_a_reply_is_measured_from_the_message_that_it_answers_and_not_from_the_runs_first_there(
    case: Workspace,
) -> None:
    row = case.steps()[1, None, "EMAIL"]
    assert share(row, "step_reply_rate") == (1, 3)
    assert (row["runs_reached"], row["sends"], share(row, "share_of_replies")) == (3, 6, (3, 3))


@happened(
    *(sent(march(day), run, step=day, message=f"{run} {day}") for run in "ABC" for day in (1, 2)),
    replied(march(3), "A", message="A 1"),
    replied(march(3), "B"),
    replied(march(3), "C"),
    replied(march(3), "D"),  # never touched: to nothing
    runs="ABCD",
)
def test_replies_are_shared_among_the_places_that_they_are_to(case: Workspace) -> None:
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
def test_a_step_is_skipped_or_completed_and_a_position_is_neither(case: Workspace) -> None:
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
    Activity("message.opened", OVER + SECOND, "D"),  # may go on yet
    runs="ABCD",
)
def test_of_the_runs_that_are_over_those_advance_that_were_touched_elsewhere_later(case: Workspace) -> None:
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
def test_a_run_ends_at_its_last_touch_and_by_what_it_came_to(case: Workspace) -> None:
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
def test_every_touched_run_ends_at_exactly_one_place(case: Workspace) -> None:
    rows = case.steps()
    assert sum(row[exit_] for row in rows.values() for exit_ in EXITS) == 3


@happened(
    *(sent(march(1), step=1), sent(march(1), "Z", step=1), replied(march(2), "Z")),
    step("skipped", march(3), "Z", step=1),
)
def test_left_censored_runs_are_in_no_number(case: Workspace) -> None:
    """Z was not seen to enrol, and history begins only a day before it."""
    row = case.steps()[1, None, "EMAIL"]
    assert (row["runs_reached"], row["sends"], share(row, "share_of_replies")) == (1, 1, (0, 0))
    assert (share(row, "step_reply_rate"), share(row, "step_skip_rate")) == ((0, 1), (0, 0))


@happened(sent(march(1), step=1, channel="CARRIER_PIGEON"), sent(march(2), step=1, channel=None))
def test_channels_that_are_unknown_or_missing_have_rows_of_their_own(case: Workspace) -> None:
    rows = case.steps()
    assert set(rows) == {(1, None, "OTHER"), (1, None, "NONE")}
