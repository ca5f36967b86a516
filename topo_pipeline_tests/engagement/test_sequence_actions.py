"""What the runs did, one row for each message, invitation, task and ended step, and what came of it."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from topo_pipeline_tests.engagement.helpers import (
    Activity,
    Cases,
    Row,
    Workspace,
    enrolled,
    march,
    opened,
    replied,
    sent,
    uid,
)

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


cases = Cases()


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    shared.land_all(cases.activities)
    shared.build("sequence_runs")
    return shared


def did(case: Workspace) -> dict[datetime, Row]:
    """The actions of a case, by their moment."""
    rows = case.rows_of("sequence_actions")
    by_moment: dict[datetime, Row] = {row["acted_at"]: row for row in rows}
    assert len(by_moment) == len(rows)
    return by_moment


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


@cases.happened(
    sent(march(1), message="m"), sent(march(2), sequence=None), opened(march(3), message="m", sequence=None)
)
def test_what_names_no_sequence_is_of_the_runs_only_other_one(case: Workspace) -> None:
    mail, note = did(case)[march(1)], did(case)[march(2)]
    assert (note["position"], mail["opened_at"]) == (2, march(3))


def test_at_the_same_instant_touches_are_in_the_order_of_their_ids_and_answers_come_after_them(
    workspace: Workspace,
) -> None:
    first, last = sorted((sent(march(1), salt=salt) for salt in "xy"), key=lambda activity: activity.id)
    rows = kept(workspace, first, last, replied(march(1)), opened(march(1)))
    assert (rows[first.id]["position"], rows[last.id]["position"]) == (1, 2)
    assert answers(rows[first.id]) == {}
    assert answers(rows[last.id]) == {"opened_at": march(1), "replied_at": march(1)}
    assert not rows[last.id]["is_replied_before"]


@cases.happened(
    *(sent(march(1), step=1), sent(march(2), step=1, channel="LINKEDIN"), sent(march(3), step=2)),
    *(sent(march(4), step=1), invited(march(5), step=1), sent(march(6)), sent(march(7))),
    *(sent(march(8), step=3, channel="FAX"), sent(march(9), step=3, channel="PIGEON")),
    step("completed", march(10), step=1),
)
def test_a_touch_repeats_one_of_the_same_known_step_and_channel(case: Workspace) -> None:
    assert sorted(at for at, row in did(case).items() if row["is_repeat"]) == [march(4), march(5), march(9)]


@cases.happened(
    *(sent(march(day), message="m") for day in (1, 3)),
    *(opened(at, message="m") for at in (march(2), march(3) + SECOND, march(5))),
    Activity("message.link_clicked", march(4), message="m"),
    replied(march(6), message="m"),
)
def test_an_answer_is_to_the_last_send_before_it_of_a_message_that_was_sent_twice(case: Workspace) -> None:
    assert answers(did(case)[march(1)]) == {"opened_at": march(2), "looked_at": march(2)}
    assert answers(did(case)[march(3)]) == {
        "opened_at": march(3) + SECOND,
        "looked_at": march(5),
        "clicked_at": march(4),
        "replied_at": march(6),
    }


@cases.happened(
    *(sent(march(1)), sent(march(2), channel="LINKEDIN"), sent(march(3), channel="MANUAL")),
    *(opened(march(4)), replied(march(5), channel="LINKEDIN")),
)
def test_an_answer_without_a_message_passes_by_what_it_can_not_be_to(case: Workspace) -> None:
    mail, note, letter = (did(case)[march(day)] for day in (1, 2, 3))
    assert answers(mail) == {"opened_at": march(4), "looked_at": march(4)}
    assert answers(note) == {"replied_at": march(5)}
    assert answers(letter) == {}


@cases.happened(
    *(invited(march(1)), invited(march(3), channel="PIGEON"), invited(march(6))),
    *(accepted(march(4)), replied(march(5), channel="LINKEDIN")),
)
def test_an_acceptance_is_of_the_last_invitation_before_it_whatever_its_channel(case: Workspace) -> None:
    first, last, later = (did(case)[march(day)] for day in (1, 3, 6))
    assert answers(first) == {"replied_at": march(5)}  # the last touch in its channel
    assert answers(last) == {"accepted_at": march(4), "replied_after_at": march(5)}
    assert answers(later) == {}


def answered(late: timedelta) -> str:
    """The case of a mail, an invitation and a step whose answers come `late` after the end of their windows."""
    return cases.add(
        *(sent(march(1), message="m"), invited(march(1, 10)), step("completed", march(1, 11), step=1)),
        opened(march(1) + 7 * DAY + late, message="m"),
        Activity("message.link_clicked", march(1) + 7 * DAY + late, message="m"),
        replied(march(1) + 14 * DAY + late, message="m"),
        accepted(march(1, 10) + 30 * DAY + late),
        replied(march(1, 10) + 30 * DAY + late, channel="LINKEDIN", message="another"),
    )


@pytest.mark.parametrize(
    ("case", "of_mail", "of_invitation"),
    [
        # The 14 days for the reply to the invitation are over.
        (
            answered(timedelta(0)),
            {"opened_at", "looked_at", "clicked_at", "replied_at"},
            {"accepted_at", "replied_after_at"},
        ),
        (answered(SECOND), set(), set()),
    ],
    indirect=["case"],
    ids=["just", "too late"],
)
def test_an_answer_is_in_time_up_to_the_end_of_its_window(
    case: Workspace, of_mail: set[str], of_invitation: set[str]
) -> None:
    mail, invitation, done = (did(case)[at] for at in (march(1), march(1, 10), march(1, 11)))
    in_time = [{a for a in ANSWERS if row[in_time_of(a)]} for row in (mail, invitation)]
    assert in_time == [of_mail, of_invitation]
    assert {done[in_time_of(answer)] for answer in ANSWERS} == {False}


def in_time_of(answer: str) -> str:
    return answer.replace("_at", "_in_time")


@cases.happened(
    *(sent(march(day), message=f"m{day}") for day in (1, 3, 6)),
    *(step("completed", march(day)) for day in (2, 5)),
    replied(march(2), category="OUT_OF_OFFICE", message="m1"),
    replied(march(4), message="m1"),
    replied(march(7), message="m3"),
)
def test_the_first_valid_reply_is_to_one_touch_and_comes_before_what_is_done_later(case: Workspace) -> None:
    mails, ended = [did(case)[march(day)] for day in (1, 3, 6)], [did(case)[march(day)] for day in (2, 5)]
    assert [mail["is_first_reply"] for mail in mails] == [True, False, False]
    assert [mail["replied_at"] for mail in mails] == [march(4), march(7), None]
    assert [mail["is_replied_before"] for mail in mails] == [False, False, True]
    assert [(row["is_replied_before"], row["is_first_reply"]) for row in ended] == [(False, None), (True, None)]


@cases.happened(replied(march(1)), sent(march(2)), task("created", march(3)), replied(march(4)))
def test_a_reply_before_any_touch_is_to_none_and_before_them_all(case: Workspace) -> None:
    mail, later = did(case)[march(2)], did(case)[march(3)]
    assert (mail["is_first_reply"], mail["replied_at"]) == (False, march(4))
    assert [row["is_replied_before"] for row in (mail, later)] == [True, True]


def closed_by(*closings: Activity) -> str:
    return cases.add(task("created", march(2)), *closings)


@pytest.mark.parametrize(
    ("case", "closed"),
    [
        (closed_by(), (None, None)),
        (closed_by(task("completed", march(4)), task("skipped", march(3))), (march(3), "task.skipped")),
        (closed_by(task("skipped", march(1)), task("completed", march(4))), (march(4), "task.completed")),
        (closed_by(task("completed", march(2))), (march(2), "task.completed")),
        (closed_by(task("completed", march(3), task="another"), task("completed", march(3), task=None)), (None, None)),
    ],
    indirect=["case"],
    ids=["nothing", "the first", "never before it was created", "at the same instant", "nothing of another"],
)
def test_a_task_is_closed_by_the_first_that_comes_after_it(
    case: Workspace, closed: tuple[datetime | None, str | None]
) -> None:
    [row] = did(case).values()
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


def ended(*ends: Activity) -> str:
    return cases.add(sent(march(1)), step("completed", march(2)), task("created", march(3)), *ends)


@pytest.mark.parametrize(
    ("case", "over_at"),
    [
        (ended(), march(3) + 30 * DAY),
        (ended(opened(march(9))), march(9) + 30 * DAY),
        (ended(STOPPED), march(5)),
        (ended(STOPPED, COMPLETED, opened(march(9))), march(4)),
        (ended(Activity("sequence.completed", march(60), salt="late")), march(60)),
    ],
    indirect=["case"],
    ids=["still", "not yet still", "stopped", "the first end", "ended long after"],
)
def test_a_run_is_over_at_its_first_end_or_when_it_was_still_for_long(case: Workspace, over_at: datetime) -> None:
    assert [row["run_over_at"] for row in did(case).values()] == [over_at] * 3


@cases.happened(
    *(sent(march(1)), invited(march(2)), task("created", march(9)), replied(march(3), category="INTERESTED"), STOPPED)
)
def test_what_a_run_came_to_stands_on_its_last_touch_alone(case: Workspace) -> None:
    assert [did(case)[march(day)]["exit_reason"] for day in (1, 2, 9)] == [None, "positive", None]
