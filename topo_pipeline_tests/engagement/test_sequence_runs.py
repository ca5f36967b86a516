"""What a run came to: what its reply answers, how far it came, how it ended, and what does not fit."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from topo_pipeline_tests.engagement.helpers import Activity, Workspace, enrolled, march, opened, replied, sent


def run_of(workspace: Workspace, *activities: Activity) -> dict[str, Any]:
    workspace.land_all([enrolled(march(1, 6)), *activities])
    workspace.build("sequence_runs")
    return workspace.run()


def happened(type_: str, at: datetime, **details: Any) -> Activity:
    return Activity(type_, at, "A", **details)


def invited(at: datetime, **details: Any) -> Activity:
    return happened("invitation.sent", at, **details)


FIRST, SECOND = sent(march(1, 9), message="M1", step=1), sent(march(3, 9), message="M2", step=2)


@pytest.mark.parametrize(
    ("touches", "reply", "method", "step"),
    [
        ((FIRST, SECOND), replied(march(4), message="M1"), "exact", 1),
        ((FIRST, SECOND), replied(march(4), message="M9"), "last_touch_same_channel", 2),
        ((FIRST, SECOND), replied(march(4)), "last_touch_same_channel", 2),
        ((FIRST, invited(march(3), step=2)), replied(march(4)), "last_touch_same_channel", 1),
        ((FIRST, invited(march(3), step=2)), replied(march(4), channel="LINKEDIN"), "last_touch_same_channel", 2),
        ((FIRST, SECOND), replied(march(4), channel="MANUAL"), "last_touch_any", 2),
        ((FIRST, SECOND), replied(march(2)), "last_touch_same_channel", 1),
        ((FIRST,), replied(march(1, 9)), "last_touch_same_channel", 1),
        ((SECOND,), replied(march(2), message="M2"), "none", None),
        ((), replied(march(2), step=4), "none", 4),
    ],
    ids=[
        "the message it names", "a message that the run never sent", "no message named", "the channel's last touch",
        "an invitation", "no touch in its channel", "a touch that came after", "a touch of the same moment",
        "a message not yet sent", "no touch at all",
    ],
)  # fmt: skip
def test_a_reply_answers_its_message_else_the_last_touch_before_it(
    workspace: Workspace, touches: tuple[Activity, ...], reply: Activity, method: str, step: int | None
) -> None:
    row = run_of(workspace, *touches, reply)
    assert (row["reply_attribution"], row["replied_step"]) == (method, step)
    assert row["reply_channel"] == reply.channel
    assert row["touches_before_reply"] == sum(touch.created_at <= reply.created_at for touch in touches)


def test_an_automatic_reply_answers_nothing(workspace: Workspace) -> None:
    row = run_of(
        workspace,
        FIRST,
        replied(march(1, 10), category="OUT_OF_OFFICE"),
        SECOND,
        replied(march(4, 9), category="INTERESTED"),
    )
    assert row["replied_step"] == 2
    assert row["hours_to_first_reply"] == 72
    assert row["hours_from_last_touch"] == 24


def test_without_a_valid_reply_nothing_is_said_of_one(workspace: Workspace) -> None:
    row = run_of(workspace, FIRST, replied(march(2), category="BOUNCED"))
    columns = ("reply_channel", "replied_step", "reply_attribution", "touches_before_reply", "hours_to_first_reply")
    assert [row[column] for column in columns] == [None] * len(columns)


def test_a_reply_before_the_first_message_took_no_time(workspace: Workspace) -> None:
    row = run_of(workspace, invited(march(1, 8)), replied(march(1, 20)), sent(march(2)))
    assert row["hours_to_first_reply"] is None
    assert row["hours_from_last_touch"] == 12


@pytest.mark.parametrize(
    ("seconds", "message", "instant"),
    [(-1, "M1", 0), (0, "M1", 1), (10, "M1", 1), (11, "M1", 0), (3, None, 1), (11, None, 0), (3, "M2", 0)],
)
def test_an_open_within_ten_seconds_of_its_send_is_a_machines(
    workspace: Workspace, seconds: int, message: str | None, instant: int
) -> None:
    row = run_of(workspace, FIRST, opened(FIRST.created_at + timedelta(seconds=seconds), message=message))
    assert (row["opens"], row["opens_instant"]) == (1, instant)


def test_an_open_without_a_message_is_of_the_last_email_and_of_a_message_sent_twice_of_the_later_send(
    workspace: Workspace,
) -> None:
    soon = timedelta(seconds=2)
    row = run_of(
        workspace,
        FIRST,
        sent(march(2), channel="LINKEDIN"),
        opened(march(2) + soon),  # no email was sent just now
        sent(march(3), message="M1"),
        opened(march(3) + soon, message="M1"),
        sent(march(4)),
        opened(march(4) + soon),
    )
    assert (row["opens"], row["opens_instant"]) == (3, 2)


def test_the_last_open_or_click_is_known(workspace: Workspace) -> None:
    click = happened("message.link_clicked", march(4))
    row = run_of(workspace, FIRST, opened(march(2)), click, replied(march(5)))
    assert (row["first_open_at"], row["last_look_at"]) == (march(2), march(4))


STEPS = [
    ("enrolled", ()),
    ("touched", (invited(march(1, 8)),)),
    ("engaged", (FIRST, opened(march(2)))),
    ("engaged", (invited(march(1, 8)), happened("invitation.accepted", march(2)))),
    ("touched", (FIRST, replied(march(2), category="OUT_OF_OFFICE"))),
    ("replied", (FIRST, opened(march(2)), replied(march(2, 10)))),
    ("positive", (FIRST, replied(march(2), category="NOT_INTERESTED"), replied(march(3), category="INTERESTED"))),
    ("meeting", (FIRST, happened("meeting.created", march(3)))),
    ("touched", (FIRST, happened("hot_lead.created", march(3)))),
]


@pytest.mark.parametrize(("stage", "activities"), STEPS, ids=[f"{n} {stage}" for n, (stage, _) in enumerate(STEPS)])
def test_the_stage_is_the_furthest_that_the_run_reached(
    workspace: Workspace, stage: str, activities: tuple[Activity, ...]
) -> None:
    assert run_of(workspace, *activities)["max_stage"] == stage


STOPPED, COMPLETED = happened("sequence.stopped", march(6)), happened("sequence.completed", march(5))


@pytest.mark.parametrize(
    ("activities", "reason"),
    [
        ((FIRST,), "active"),
        ((FIRST, COMPLETED), "completed"),
        ((FIRST, STOPPED, COMPLETED), "stopped"),
        ((FIRST, STOPPED, replied(march(2))), "replied"),
        ((FIRST, replied(march(2), category="INTERESTED")), "positive"),
        ((replied(march(2), category="INTERESTED"), happened("meeting.created", march(3))), "meeting"),
    ],
    ids=["active", "completed", "stopped", "replied", "positive", "meeting"],
)
def test_a_run_ends_for_its_best_reason(workspace: Workspace, activities: tuple[Activity, ...], reason: str) -> None:
    assert run_of(workspace, *activities)["exit_reason"] == reason


PAUSED, RESUMED = happened("sequence.paused", march(2)), happened("sequence.resumed", march(3))


@pytest.mark.parametrize(
    ("activities", "pauses", "is_paused"),
    [
        ((), 0, False),
        ((PAUSED,), 1, True),
        ((PAUSED, RESUMED), 1, False),
        ((PAUSED, RESUMED, happened("sequence.paused", march(4))), 2, True),
        ((PAUSED, STOPPED), 1, False),
        ((PAUSED, COMPLETED), 1, False),
    ],
)
def test_a_run_is_paused_until_it_is_resumed_or_ends(
    workspace: Workspace, activities: tuple[Activity, ...], pauses: int, is_paused: bool
) -> None:
    row = run_of(workspace, *activities)
    assert (row["pause_count"], row["is_paused"]) == (pauses, is_paused)


@pytest.mark.parametrize(
    ("activities", "anomalies"),
    [
        ((FIRST, opened(march(2)), replied(march(2)), STOPPED), []),
        ((replied(march(1, 8)), FIRST), ["reply_before_touch"]),
        ((opened(march(1, 8)), FIRST), ["open_without_send"]),
        ((happened("message.link_clicked", march(2)),), ["click_without_send"]),
        ((happened("invitation.accepted", march(2)),), ["acceptance_without_invitation"]),
        ((FIRST, STOPPED, sent(march(7))), ["event_after_stop"]),
        ((FIRST, STOPPED, replied(march(7))), []),
        ((opened(march(1, 7)), replied(march(1, 8))), ["reply_before_touch", "open_without_send"]),
    ],
)
def test_what_comes_without_its_cause_is_an_anomaly(
    workspace: Workspace, activities: tuple[Activity, ...], anomalies: list[str]
) -> None:
    assert run_of(workspace, *activities)["anomalies"] == anomalies


def test_a_reply_counts_as_classified_from_the_first_one_that_is(workspace: Workspace) -> None:
    pending, classified = replied(march(2)), replied(march(3), category="REFERRAL")
    row = run_of(workspace, FIRST, pending, classified)
    assert row["first_valid_reply_at"] == pending.created_at
    assert row["first_classified_reply_at"] == classified.created_at


def test_the_first_message_of_each_channel_is_known(workspace: Workspace) -> None:
    row = run_of(workspace, sent(march(2), channel="LINKEDIN"), sent(march(3)), sent(march(4), channel=None))
    assert (row["first_linkedin_at"], row["first_email_at"]) == (march(2), march(3))
    assert row["last_activity_at"] == march(4)


def test_steps_are_counted_and_the_highest_is_known(workspace: Workspace) -> None:
    row = run_of(
        workspace,
        FIRST,
        happened("sequence_step.completed", march(2), step=1),
        happened("sequence_step.skipped", march(3), step=3),
    )
    assert (row["steps_completed"], row["steps_skipped"], row["last_step"]) == (1, 1, 3)
