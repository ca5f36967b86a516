"""What the runs did, one row for each message, invitation, task and ended step, and what came of it."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from topo_pipeline_tests.engagement.helpers import Activity, Row, Workspace, enrolled, march, opened, replied, sent, uid

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
ANSWERS = ("opened_at", "looked_at", "clicked_at", "replied_at", "accepted_at", "replied_after_at")


def invited(at: datetime, run: str = "A", **details: Any) -> Activity:
    return Activity("invitation.sent", at, run, **details)


def accepted(at: datetime, run: str = "A", **details: Any) -> Activity:
    return Activity("invitation.accepted", at, run, **details)


def task(event: str, at: datetime, **details: Any) -> Activity:
    return Activity(f"task.{event}", at, **{"channel": "MANUAL", "task": "call"} | details)


def step(event: str, at: datetime, **details: Any) -> Activity:
    return Activity(f"sequence_step.{event}", at, **details)


def kept(workspace: Workspace, *activities: Activity) -> dict[str, Row]:
    """The actions of the workspace in which this happened, by the id of their activity."""
    workspace.land_all(activities)
    workspace.build("sequence_runs")
    rows = {row["activity_id"]: row for row in workspace.rows("sequence_actions")}
    assert len(rows) == len(workspace.rows("sequence_actions"))
    return rows


def answers(row: Row) -> dict[str, datetime]:
    return {name: row[name] for name in ANSWERS if row[name] is not None}


def test_messages_invitations_tasks_and_ended_steps_are_actions_and_nothing_else_is(anywhere: Workspace) -> None:
    did = [
        *(sent(march(1), step=1), invited(march(2)), sent(march(3), channel="FAX")),
        *(task("created", march(4)), step("completed", march(5), step=1), step("skipped", march(6))),
    ]
    left_out = [
        *(enrolled(march(1)), opened(march(2)), replied(march(3)), accepted(march(3)), task("completed", march(5))),
        *(task("created", march(4, 12), task=None), task("skipped", march(4), task="never created")),
        *(sent(march(1), run=None), Activity("message.bounced", march(1)), Activity("meeting.created", march(7))),
    ]
    rows = kept(anywhere, *did, *left_out)
    assert rows.keys() == {activity.id for activity in did}
    assert {(row["type"], row["channel"], row["step"], row["acted_at"], row["position"]) for row in rows.values()} == {
        ("message.sent", "EMAIL", 1, march(1), 1),
        ("invitation.sent", "LINKEDIN", None, march(2), 2),
        ("message.sent", "OTHER", None, march(3), 3),
        ("task.created", "MANUAL", None, march(4), None),
        ("sequence_step.completed", "NONE", 1, march(5), None),
        ("sequence_step.skipped", "NONE", None, march(6), None),
    }
    assert {(row["sequence_template_id"], row["sequence_id"]) for row in rows.values()} == {(uid("outbound"), uid("A"))}


def test_what_left_censored_runs_did_says_so_and_no_more_once_more_is_known(workspace: Workspace) -> None:
    whole, censored = sent(march(40)), sent(march(40), "Z", salt="Z")

    def told(*activities: Activity) -> list[bool]:
        rows = kept(workspace, *activities)
        assert rows[censored.id]["left_censored"] is workspace.run("Z")["left_censored"]
        return [rows[activity.id]["left_censored"] for activity in (whole, censored)]

    assert told(whole, censored) == [False, False]  # where no enrolment is ever seen nothing can be told
    assert told(enrolled(march(39)), whole, censored) == [False, True]
    assert told(enrolled(march(1), "B")) == [False, False]  # a load that touches neither


def test_a_run_in_two_sequences_is_two_and_an_answer_without_a_sequence_is_of_neither(workspace: Workspace) -> None:
    there, here, nowhere = (
        sent(march(day), message="m", sequence=name) for day, name in ((1, "nurture"), (2, "outbound"), (3, None))
    )
    elsewhere = opened(march(4), message="m", sequence="nurture")
    rows = kept(workspace, there, here, nowhere, elsewhere, replied(march(5), sequence=None))
    assert {rows[a.id]["sequence_template_id"] for a in (there, here, nowhere)} == {
        uid("nurture"),
        uid("outbound"),
        None,
    }
    assert {rows[a.id]["position"] for a in (there, here, nowhere)} == {1}
    assert answers(rows[there.id]).keys() == {"opened_at", "looked_at"}
    assert answers(rows[here.id]) == {}
    assert answers(rows[nowhere.id]) == {"replied_at": march(5)}


def test_what_names_no_sequence_is_of_the_runs_only_other_one(workspace: Workspace) -> None:
    mail, note = sent(march(1), message="m"), sent(march(2), sequence=None)
    rows = kept(workspace, mail, note, opened(march(3), message="m", sequence=None))
    assert {row["sequence_template_id"] for row in rows.values()} == {uid("outbound")}
    assert (rows[note.id]["position"], rows[mail.id]["opened_at"]) == (2, march(3))


def test_at_the_same_instant_touches_are_in_the_order_of_their_ids_and_answers_come_after_them(
    workspace: Workspace,
) -> None:
    first, last = sorted((sent(march(1), salt=salt) for salt in "xy"), key=lambda activity: activity.id)
    rows = kept(workspace, first, last, replied(march(1)), opened(march(1)))
    assert (rows[first.id]["position"], rows[last.id]["position"]) == (1, 2)
    assert answers(rows[first.id]) == {}
    assert answers(rows[last.id]) == {"opened_at": march(1), "replied_at": march(1)}
    assert not rows[last.id]["is_replied_before"]


def test_a_touch_repeats_one_of_the_same_known_step_and_channel(workspace: Workspace) -> None:
    touches = [
        *(sent(march(1), step=1), sent(march(2), step=1, channel="LINKEDIN"), sent(march(3), step=2)),
        *(sent(march(4), step=1), invited(march(5), step=1), sent(march(6)), sent(march(7))),
        *(sent(march(8), step=3, channel="FAX"), sent(march(9), step=3, channel="PIGEON")),
    ]
    rows = kept(workspace, *touches, step("completed", march(8), step=1))
    repeats = [touch.created_at for touch in touches if rows[touch.id]["is_repeat"]]
    assert repeats == [march(4), march(5), march(9)]


def test_an_answer_is_to_the_last_send_before_it_of_a_message_that_was_sent_twice(workspace: Workspace) -> None:
    first, again = (sent(march(day), message="m") for day in (1, 3))
    click = Activity("message.link_clicked", march(4), message="m")
    looks = [
        opened(march(2), message="m"),
        opened(march(3) + SECOND, message="m"),
        click,
        opened(march(5), message="m"),
    ]
    rows = kept(workspace, first, again, *looks, replied(march(6), message="m"))
    assert answers(rows[first.id]) == {"opened_at": march(2), "looked_at": march(2)}
    assert answers(rows[again.id]) == {
        "opened_at": march(3) + SECOND,
        "looked_at": march(5),
        "clicked_at": march(4),
        "replied_at": march(6),
    }


def test_an_answer_without_a_message_passes_by_what_it_can_not_be_to(workspace: Workspace) -> None:
    mail, note, letter = sent(march(1)), sent(march(2), channel="LINKEDIN"), sent(march(3), channel="MANUAL")
    rows = kept(workspace, mail, note, letter, opened(march(4)), replied(march(5), channel="LINKEDIN"))
    assert answers(rows[mail.id]) == {"opened_at": march(4), "looked_at": march(4)}
    assert answers(rows[note.id]) == {"replied_at": march(5)}
    assert answers(rows[letter.id]) == {}


def test_an_acceptance_is_of_the_last_invitation_before_it_whatever_its_channel(workspace: Workspace) -> None:
    first, last, later = invited(march(1)), invited(march(3), channel="PIGEON"), invited(march(6))
    rows = kept(workspace, first, last, accepted(march(4)), replied(march(5), channel="LINKEDIN"), later)
    assert answers(rows[first.id]) == {"replied_at": march(5)}  # the last touch in its channel
    assert answers(rows[last.id]) == {"accepted_at": march(4), "replied_after_at": march(5)}
    assert answers(rows[later.id]) == {}


@pytest.mark.parametrize(("late", "in_time"), [(timedelta(0), True), (SECOND, False)], ids=["just", "too late"])
def test_an_answer_is_in_time_up_to_the_end_of_its_window(workspace: Workspace, late: timedelta, in_time: bool) -> None:
    mail, invitation, done = sent(march(1), message="m"), invited(march(1, 10)), step("completed", march(1), step=1)
    rows = kept(
        *(workspace, mail, invitation, done),
        opened(march(1) + 7 * DAY + late, message="m"),
        Activity("message.link_clicked", march(1) + 7 * DAY + late, message="m"),
        replied(march(1) + 14 * DAY + late, message="m"),
        accepted(march(1, 10) + 30 * DAY + late),
        replied(march(1, 10) + 30 * DAY + late, channel="LINKEDIN", message="another"),
    )
    told = {activity.type: {a for a in ANSWERS if rows[activity.id][in_time_of(a)]} for activity in (mail, invitation)}
    if in_time:
        assert told["message.sent"] == {"opened_at", "looked_at", "clicked_at", "replied_at"}
        assert told["invitation.sent"] == {"accepted_at", "replied_after_at"}  # 14 days for the reply to it are over
    else:
        assert told == {"message.sent": set(), "invitation.sent": set()}
    assert {rows[done.id][in_time_of(answer)] for answer in ANSWERS} == {False}


def in_time_of(answer: str) -> str:
    return answer.replace("_at", "_in_time")


def test_the_first_valid_reply_is_to_one_touch_and_comes_before_what_is_done_later(workspace: Workspace) -> None:
    mails = [sent(march(day), message=f"m{day}") for day in (1, 3, 6)]
    ended = [step("completed", march(day)) for day in (2, 6)]
    answering = [
        replied(march(2), category="OUT_OF_OFFICE", message="m1"),
        replied(march(4), message="m1"),
        replied(march(7), message="m3"),
    ]
    rows = kept(workspace, *mails, *ended, *answering)
    assert [rows[mail.id]["is_first_reply"] for mail in mails] == [True, False, False]
    assert [rows[mail.id]["replied_at"] for mail in mails] == [march(4), march(7), None]
    assert [rows[mail.id]["is_replied_before"] for mail in mails] == [False, False, True]
    assert [(rows[a.id]["is_replied_before"], rows[a.id]["is_first_reply"]) for a in ended] == [
        (False, None),
        (True, None),
    ]


def test_a_reply_before_any_touch_is_to_none_and_before_them_all(workspace: Workspace) -> None:
    mail, later = sent(march(2)), task("created", march(3))
    rows = kept(workspace, replied(march(1)), mail, later, replied(march(4)))
    assert (rows[mail.id]["is_first_reply"], rows[mail.id]["replied_at"]) == (False, march(4))
    assert [rows[a.id]["is_replied_before"] for a in (mail, later)] == [True, True]


@pytest.mark.parametrize(
    ("closings", "closed"),
    [
        ([], (None, None)),
        ([task("completed", march(4)), task("skipped", march(3))], (march(3), "task.skipped")),
        ([task("skipped", march(1)), task("completed", march(4))], (march(4), "task.completed")),
        ([task("completed", march(2))], (march(2), "task.completed")),
        ([task("completed", march(3), task="another"), task("completed", march(3), task=None)], (None, None)),
    ],
    ids=["nothing", "the first", "never before it was created", "at the same instant", "nothing of another"],
)
def test_a_task_is_closed_by_the_first_that_comes_after_it(
    workspace: Workspace, closings: list[Activity], closed: tuple[datetime | None, str | None]
) -> None:
    created = task("created", march(2))
    row = kept(workspace, created, *closings)[created.id]
    assert (row["closed_at"], row["closed_by"]) == closed


def test_a_task_is_told_by_its_first_creation_and_closed_at_once_by_what_has_the_smaller_id(
    workspace: Workspace,
) -> None:
    first, again = task("created", march(1), channel=None), task("created", march(2), step=3)
    closings = [task(event, march(3)) for event in ("completed", "skipped")]
    rows = kept(workspace, first, again, *closings)
    assert rows.keys() == {first.id}
    row = rows[first.id]
    assert (row["acted_at"], row["step"], row["channel"]) == (march(1), None, "NONE")
    assert row["closed_by"] == min(closings, key=lambda closing: closing.id).type


STOPPED, COMPLETED = Activity("sequence.stopped", march(5)), Activity("sequence.completed", march(4))


@pytest.mark.parametrize(
    ("ends", "over_at"),
    [
        ([], march(3) + 30 * DAY),
        ([opened(march(9))], march(9) + 30 * DAY),
        ([STOPPED], march(5)),
        ([STOPPED, COMPLETED, opened(march(9))], march(4)),
        ([Activity("sequence.completed", march(60), salt="late")], march(60)),
    ],
    ids=["still", "not yet still", "stopped", "the first end", "ended long after"],
)
def test_a_run_is_over_at_its_first_end_or_when_it_was_still_for_long(
    workspace: Workspace, ends: list[Activity], over_at: datetime
) -> None:
    did = [sent(march(1)), step("completed", march(2)), task("created", march(3))]
    assert {row["run_over_at"] for row in kept(workspace, *did, *ends).values()} == {over_at}


def test_what_a_run_came_to_stands_on_its_last_touch_alone(workspace: Workspace) -> None:
    mail, last, later = sent(march(1)), invited(march(2)), task("created", march(9))
    rows = kept(workspace, mail, last, later, replied(march(3), category="INTERESTED"), STOPPED)
    assert [rows[a.id]["exit_reason"] for a in (mail, last, later)] == [None, "positive", None]
