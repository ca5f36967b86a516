"""What a run came to: what its reply answers, how far it came, how it ended, and what does not fit."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from topo_pipeline_tests.engagement.helpers import (
    Activity,
    Cases,
    Test,
    Workspace,
    enrolled,
    march,
    opened,
    replied,
    sent,
)

cases = Cases()


def run_of(*activities: Activity) -> str:
    """The case of a run that enrolled early on March 1st, and to which this happened."""
    return cases.add(enrolled(march(1, 6)), *activities)


def happened(*activities: Activity) -> Callable[[Test], Test]:
    return cases.happened(enrolled(march(1, 6)), *activities)


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    shared.land_all(cases.activities)
    shared.build("sequence_runs")
    return shared


def event(type_: str, at: datetime, **details: Any) -> Activity:
    return Activity(type_, at, "A", **details)


def invited(at: datetime, **details: Any) -> Activity:
    return event("invitation.sent", at, **details)


FIRST, SECOND = sent(march(1, 9), message="M1", step=1), sent(march(3, 9), message="M2", step=2)


ANSWERS = {
    "the message it names": ((FIRST, SECOND), replied(march(4), message="M1"), "exact", 1),
    "a message that the run never sent": (
        (FIRST, SECOND),
        replied(march(4), message="M9"),
        "last_touch_same_channel",
        2,
    ),
    "no message named": ((FIRST, SECOND), replied(march(4)), "last_touch_same_channel", 2),
    "the channel's last touch": ((FIRST, invited(march(3), step=2)), replied(march(4)), "last_touch_same_channel", 1),
    "an invitation": (
        (FIRST, invited(march(3), step=2)),
        replied(march(4), channel="LINKEDIN"),
        "last_touch_same_channel",
        2,
    ),
    "no touch in its channel": ((FIRST, SECOND), replied(march(4), channel="MANUAL"), "last_touch_any", 2),
    "a touch that came after": ((FIRST, SECOND), replied(march(2)), "last_touch_same_channel", 1),
    "a touch of the same moment": ((FIRST,), replied(march(1, 9)), "last_touch_same_channel", 1),
    "a message not yet sent": ((SECOND,), replied(march(2), message="M2"), "none", None),
    "no touch at all": ((), replied(march(2), step=4), "none", 4),
}


@pytest.mark.parametrize(
    ("case", "touches", "reply", "method", "step"),
    [(run_of(*touches, reply), touches, reply, method, step) for touches, reply, method, step in ANSWERS.values()],
    indirect=["case"],
    ids=ANSWERS,
)
def test_a_reply_answers_its_message_else_the_last_touch_before_it(
    case: Workspace, touches: tuple[Activity, ...], reply: Activity, method: str, step: int | None
) -> None:
    row = case.run()
    assert (row["reply_attribution"], row["replied_step"]) == (method, step)
    assert row["reply_channel"] == reply.channel
    assert row["touches_before_reply"] == sum(touch.created_at <= reply.created_at for touch in touches)


@happened(
    FIRST,
    replied(march(1, 10), category="OUT_OF_OFFICE"),
    SECOND,
    replied(march(4, 9), category="INTERESTED"),
)
def test_an_automatic_reply_answers_nothing(case: Workspace) -> None:
    row = case.run()
    assert row["replied_step"] == 2
    assert row["hours_to_first_reply"] == 72
    assert row["hours_from_last_touch"] == 24


@happened(FIRST, replied(march(2), category="BOUNCED"))
def test_without_a_valid_reply_nothing_is_said_of_one(case: Workspace) -> None:
    row = case.run()
    columns = ("reply_channel", "replied_step", "reply_attribution", "touches_before_reply", "hours_to_first_reply")
    assert [row[column] for column in columns] == [None] * len(columns)


@happened(invited(march(1, 8)), replied(march(1, 20)), sent(march(2)))
def test_a_reply_before_the_first_message_took_no_time(case: Workspace) -> None:
    row = case.run()
    assert row["hours_to_first_reply"] is None
    assert row["hours_from_last_touch"] == 12


@pytest.mark.parametrize(
    ("case", "instant"),
    [
        (run_of(FIRST, opened(FIRST.created_at + timedelta(seconds=seconds), message=message)), instant)
        for seconds, message, instant in [
            *((-1, "M1", 0), (0, "M1", 1), (10, "M1", 1), (11, "M1", 0)),
            *((3, None, 1), (11, None, 0), (3, "M2", 0)),
        ]
    ],
    indirect=["case"],
    ids=["before", "at once", "just", "too late", "of no message", "of no message and too late", "of another message"],
)
def test_an_open_within_ten_seconds_of_its_send_is_a_machines(case: Workspace, instant: int) -> None:
    row = case.run()
    assert (row["opens"], row["opens_instant"]) == (1, instant)


SOON = timedelta(seconds=2)


@happened(
    FIRST,
    sent(march(2), channel="LINKEDIN"),
    opened(march(2) + SOON),  # no email was sent just now
    sent(march(3), message="M1"),
    opened(march(3) + SOON, message="M1"),
    sent(march(4)),
    opened(march(4) + SOON),
)
def test_an_open_without_a_message_is_of_the_last_email_and_of_a_message_sent_twice_of_the_later_send(
    case: Workspace,
) -> None:
    row = case.run()
    assert (row["opens"], row["opens_instant"]) == (3, 2)


@happened(FIRST, opened(march(2)), event("message.link_clicked", march(4)), replied(march(5)))
def test_the_last_open_or_click_is_known(case: Workspace) -> None:
    row = case.run()
    assert (row["first_open_at"], row["last_look_at"]) == (march(2), march(4))


STAGES = [
    ("enrolled", run_of()),
    ("touched", run_of(invited(march(1, 8)))),
    ("engaged", run_of(FIRST, opened(march(2)))),
    ("engaged", run_of(invited(march(1, 8)), event("invitation.accepted", march(2)))),
    ("touched", run_of(FIRST, replied(march(2), category="OUT_OF_OFFICE"))),
    ("replied", run_of(FIRST, opened(march(2)), replied(march(2, 10)))),
    ("positive", run_of(FIRST, replied(march(2), category="NOT_INTERESTED"), replied(march(3), category="INTERESTED"))),
    ("meeting", run_of(FIRST, event("meeting.created", march(3)))),
    ("touched", run_of(FIRST, event("hot_lead.created", march(3)))),
]


@pytest.mark.parametrize(
    ("stage", "case"), STAGES, indirect=["case"], ids=[f"{n} {stage}" for n, (stage, _) in enumerate(STAGES)]
)
def test_the_stage_is_the_furthest_that_the_run_reached(case: Workspace, stage: str) -> None:
    assert case.run()["max_stage"] == stage


STOPPED, COMPLETED = event("sequence.stopped", march(6)), event("sequence.completed", march(5))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (run_of(FIRST), "active"),
        (run_of(FIRST, COMPLETED), "completed"),
        (run_of(FIRST, STOPPED, COMPLETED), "stopped"),
        (run_of(FIRST, STOPPED, replied(march(2))), "replied"),
        (run_of(FIRST, replied(march(2), category="INTERESTED")), "positive"),
        (run_of(replied(march(2), category="INTERESTED"), event("meeting.created", march(3))), "meeting"),
    ],
    indirect=["case"],
    ids=["active", "completed", "stopped", "replied", "positive", "meeting"],
)
def test_a_run_ends_for_its_best_reason(case: Workspace, reason: str) -> None:
    assert case.run()["exit_reason"] == reason


PAUSED, RESUMED = event("sequence.paused", march(2)), event("sequence.resumed", march(3))


@pytest.mark.parametrize(
    ("case", "pauses", "is_paused"),
    [
        (run_of(), 0, False),
        (run_of(PAUSED), 1, True),
        (run_of(PAUSED, RESUMED), 1, False),
        (run_of(PAUSED, RESUMED, event("sequence.paused", march(4))), 2, True),
        (run_of(PAUSED, STOPPED), 1, False),
        (run_of(PAUSED, COMPLETED), 1, False),
    ],
    indirect=["case"],
    ids=["never", "paused", "resumed", "paused again", "stopped", "completed"],
)
def test_a_run_is_paused_until_it_is_resumed_or_ends(case: Workspace, pauses: int, is_paused: bool) -> None:
    row = case.run()
    assert (row["pause_count"], row["is_paused"]) == (pauses, is_paused)


@pytest.mark.parametrize(
    ("case", "anomalies"),
    [
        (run_of(FIRST, opened(march(2)), replied(march(2)), STOPPED), []),
        (run_of(replied(march(1, 8)), FIRST), ["reply_before_touch"]),
        (run_of(opened(march(1, 8)), FIRST), ["open_without_send"]),
        (run_of(event("message.link_clicked", march(2))), ["click_without_send"]),
        (run_of(event("invitation.accepted", march(2))), ["acceptance_without_invitation"]),
        (run_of(FIRST, STOPPED, sent(march(7))), ["event_after_stop"]),
        (run_of(FIRST, STOPPED, replied(march(7))), []),
        (run_of(opened(march(1, 7)), replied(march(1, 8))), ["reply_before_touch", "open_without_send"]),
    ],
    indirect=["case"],
    ids=[
        "nothing",
        "a reply",
        "an open",
        "a click",
        "an acceptance",
        "a message after the stop",
        "a reply after the stop",
        "two of them",
    ],
)
def test_what_comes_without_its_cause_is_an_anomaly(case: Workspace, anomalies: list[str]) -> None:
    assert case.run()["anomalies"] == anomalies


PENDING, CLASSIFIED = replied(march(2)), replied(march(3), category="REFERRAL")


@happened(FIRST, PENDING, CLASSIFIED)
def test_a_reply_counts_as_classified_from_the_first_one_that_is(case: Workspace) -> None:
    row = case.run()
    assert row["first_valid_reply_at"] == PENDING.created_at
    assert row["first_classified_reply_at"] == CLASSIFIED.created_at


@happened(sent(march(2), channel="LINKEDIN"), sent(march(3)), sent(march(4), channel=None))
def test_the_first_message_of_each_channel_is_known(case: Workspace) -> None:
    row = case.run()
    assert (row["first_linkedin_at"], row["first_email_at"]) == (march(2), march(3))
    assert row["last_activity_at"] == march(4)


@happened(
    FIRST,
    event("sequence_step.completed", march(2), step=1),
    event("sequence_step.skipped", march(3), step=3),
)
def test_steps_are_counted_and_the_highest_is_known(case: Workspace) -> None:
    row = case.run()
    assert (row["steps_completed"], row["steps_skipped"], row["last_step"]) == (1, 1, 3)
