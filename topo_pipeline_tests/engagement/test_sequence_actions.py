"""`sequence_actions` and `sequence_responses`: what runs did, what followed it, and what contacts did."""

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


def actions(case: Workspace) -> dict[datetime, Row]:
    """Return the actions of a case by their time."""
    rows = case.rows_of("sequence_actions")
    by_time: dict[datetime, Row] = {row["acted_at"]: row for row in rows}
    assert len(by_time) == len(rows)
    return by_time


def build(workspace: Workspace, *activities: Activity, table: str = "sequence_actions") -> dict[str, Row]:
    """Land the activities. Return the rows of the table by activity id."""
    workspace.land_all(activities)
    workspace.build("sequence_runs")
    rows = {row["activity_id"]: row for row in workspace.rows(table)}
    assert len(rows) == len(workspace.rows(table))
    return rows


def answers(row: Row) -> dict[str, datetime]:
    return {name: row[name] for name in ANSWERS if row[name] is not None}


def test_only_messages_invitations_tasks_and_ended_steps_are_actions(anywhere: Workspace) -> None:
    expected = [
        *(sent(march(1), step=1), invited(march(2)), sent(march(3), channel="FAX")),
        *(task("created", march(4)), task("created", march(4, 12), task=None)),
        *(step("completed", march(5), step=1), step("skipped", march(6))),
    ]
    left_out = [
        *(enrolled(march(1)), opened(march(2)), replied(march(3)), accepted(march(3)), task("completed", march(5))),
        task("skipped", march(4), task="never created"),
        *(sent(march(1), run=None), Activity("message.bounced", march(1)), Activity("meeting.created", march(7))),
    ]
    rows = build(anywhere, *expected, *left_out)
    assert rows.keys() == {activity.id for activity in expected}
    assert {(row["type"], row["channel"], row["step"], row["acted_at"], row["position"]) for row in rows.values()} == {
        ("message.sent", "EMAIL", 1, march(1), 1),
        ("invitation.sent", "LINKEDIN", None, march(2), 2),
        ("message.sent", "OTHER", None, march(3), 3),
        ("task.created", "MANUAL", None, march(4), None),
        ("task.created", "MANUAL", None, march(4, 12), None),
        ("sequence_step.completed", "NONE", 1, march(5), None),
        ("sequence_step.skipped", "NONE", None, march(6), None),
    }
    assert {(row["sequence_template_id"], row["sequence_id"]) for row in rows.values()} == {(uid("outbound"), uid("A"))}


def test_the_actions_of_a_run_are_left_censored_while_the_run_is(workspace: Workspace) -> None:
    whole, censored = sent(march(40)), sent(march(40), "Z", salt="Z")

    def flags(*activities: Activity) -> list[bool]:
        rows = build(workspace, *activities)
        assert rows[censored.id]["left_censored"] is workspace.run("Z")["left_censored"]
        return [rows[activity.id]["left_censored"] for activity in (whole, censored)]

    assert flags(whole, censored) == [False, False]  # without any enrolment the rule is off
    assert flags(enrolled(march(39)), whole, censored) == [False, True]
    assert flags(enrolled(march(1), "B")) == [False, False]  # a load that touches neither


def test_a_run_in_two_sequences_is_two_runs_and_activities_without_a_sequence_a_third(workspace: Workspace) -> None:
    there, here, nowhere = (
        sent(march(day), message="m", sequence=name) for day, name in ((1, "nurture"), (2, "outbound"), (3, None))
    )
    elsewhere = opened(march(4), message="m", sequence="nurture")
    rows = build(workspace, there, here, nowhere, elsewhere, replied(march(5), sequence=None))
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
def test_an_activity_without_a_sequence_belongs_to_the_only_other_sequence_of_its_run(case: Workspace) -> None:
    email, note = actions(case)[march(1)], actions(case)[march(2)]
    assert (note["position"], email["opened_at"]) == (2, march(3))


def test_at_the_same_instant_touches_are_ordered_by_id_and_come_before_answers(
    workspace: Workspace,
) -> None:
    first, last = sorted((sent(march(1), salt=salt) for salt in "xy"), key=lambda activity: activity.id)
    rows = build(workspace, first, last, replied(march(1)), opened(march(1)))
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
    assert sorted(at for at, row in actions(case).items() if row["is_repeat"]) == [march(4), march(5), march(9)]


@cases.happened(
    *(sent(march(1), step=1), sent(march(2), step=1, channel="LINKEDIN"), sent(march(3), step=1), sent(march(4))),
    *(sent(march(5)), sent(march(6), step=1), step("completed", march(7), step=1)),
)
def test_a_run_arrives_at_a_step_with_its_first_touch_there(case: Workspace) -> None:
    arrived = {at.day: row["arrived_at"] for at, row in actions(case).items()}
    first, unnumbered = dict.fromkeys((1, 3, 6), march(1)), {4: march(4), 5: march(5)}
    assert arrived == first | {2: march(2)} | unnumbered | {7: None}


@cases.happened(
    *(sent(march(day), message="m") for day in (1, 3)),
    *(opened(at, message="m") for at in (march(2), march(3) + SECOND, march(5))),
    Activity("message.link_clicked", march(4), message="m"),
    replied(march(6), message="m"),
)
def test_an_answer_to_a_message_sent_twice_belongs_to_the_last_send_before_it(case: Workspace) -> None:
    assert answers(actions(case)[march(1)]) == {"opened_at": march(2), "looked_at": march(2)}
    assert answers(actions(case)[march(3)]) == {
        "opened_at": march(3) + SECOND,
        "looked_at": march(5),
        "clicked_at": march(4),
        "replied_at": march(6),
    }


@cases.happened(
    *(sent(march(1)), sent(march(2), channel="LINKEDIN"), sent(march(3), channel="MANUAL")),
    *(opened(march(4)), replied(march(5), channel="LINKEDIN")),
)
def test_an_open_without_a_message_needs_an_email_and_a_reply_prefers_its_channel(case: Workspace) -> None:
    email, note, manual = (actions(case)[march(day)] for day in (1, 2, 3))
    assert answers(email) == {"opened_at": march(4), "looked_at": march(4)}
    assert answers(note) == {"replied_at": march(5)}
    assert answers(manual) == {}


@cases.happened(
    *(invited(march(1)), invited(march(3), channel="PIGEON"), invited(march(6))),
    *(accepted(march(4)), replied(march(5), channel="LINKEDIN")),
)
def test_an_acceptance_belongs_to_the_last_invitation_before_it_on_any_channel(case: Workspace) -> None:
    first, last, later = (actions(case)[march(day)] for day in (1, 3, 6))
    assert answers(first) == {"replied_at": march(5)}  # the last touch on its channel
    assert answers(last) == {"accepted_at": march(4), "replied_after_at": march(5)}
    assert answers(later) == {}


def answered(late: timedelta) -> str:
    """Add the case of an email, an invitation and a step. Answers come this long after the end of their windows."""
    return cases.add(
        *(sent(march(1), message="m"), invited(march(1, 10)), step("completed", march(1, 11), step=1)),
        opened(march(1) + 7 * DAY + late, message="m"),
        Activity("message.link_clicked", march(1) + 7 * DAY + late, message="m"),
        replied(march(1) + 14 * DAY + late, message="m"),
        accepted(march(1, 10) + 30 * DAY + late),
        replied(march(1, 10) + 30 * DAY + late, channel="LINKEDIN", message="another"),
    )


@pytest.mark.parametrize(
    ("case", "of_email", "of_invitation"),
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
    ids=["in time", "too late"],
)
def test_an_answer_is_in_time_up_to_the_end_of_its_window(
    case: Workspace, of_email: set[str], of_invitation: set[str]
) -> None:
    email, invitation, done = (actions(case)[at] for at in (march(1), march(1, 10), march(1, 11)))
    in_time = [{a for a in ANSWERS if row[in_time_of(a)]} for row in (email, invitation)]
    assert in_time == [of_email, of_invitation]
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
def test_the_first_valid_reply_answers_one_touch_and_precedes_later_actions(case: Workspace) -> None:
    emails, ended = [actions(case)[march(day)] for day in (1, 3, 6)], [actions(case)[march(day)] for day in (2, 5)]
    assert [email["is_first_reply"] for email in emails] == [True, False, False]
    assert [email["replied_at"] for email in emails] == [march(4), march(7), None]
    assert [email["is_replied_before"] for email in emails] == [False, False, True]
    assert [(row["is_replied_before"], row["is_first_reply"]) for row in ended] == [(False, None), (True, None)]


@cases.happened(replied(march(1)), sent(march(2)), task("created", march(3)), replied(march(4)))
def test_a_reply_before_every_touch_answers_none(case: Workspace) -> None:
    email, later = actions(case)[march(2)], actions(case)[march(3)]
    assert (email["is_first_reply"], email["replied_at"]) == (False, march(4))
    assert [row["is_replied_before"] for row in (email, later)] == [True, True]


def closed_by(*closings: Activity) -> str:
    """Add the case of a task and its closings."""
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
    ids=["open", "the first closing", "not one before the creation", "at the same instant", "not another task's"],
)
def test_a_task_is_closed_by_the_first_closing_after_its_creation(
    case: Workspace, closed: tuple[datetime | None, str | None]
) -> None:
    [row] = actions(case).values()
    assert (row["closed_at"], row["closed_by"]) == closed
    assert row["is_open_task"] is (closed == (None, None))


@cases.happened(
    *(sent(march(1)), step("completed", march(1, 10)), task("created", march(2), task=None, channel="EMAIL", step=4)),
    *(task("created", march(3), task=None), task("completed", march(4), task=None), task("created", march(5))),
)
def test_a_task_without_an_id_is_an_action_of_its_own_and_never_open(case: Workspace) -> None:
    unnamed, another, named = (actions(case)[march(day)] for day in (2, 3, 5))
    assert [(row["type"], row["channel"], row["step"]) for row in (unnamed, another)] == [
        ("task.created", "EMAIL", 4),
        ("task.created", "MANUAL", None),
    ]
    assert [(row["closed_at"], row["closed_by"]) for row in (unnamed, another, named)] == [(None, None)] * 3
    assert [row["is_open_task"] for row in (unnamed, another, named)] == [False, False, True]
    assert [actions(case)[at]["is_open_task"] for at in (march(1), march(1, 10))] == [None, None]


def test_tasks_without_an_id_created_at_the_same_instant_are_two(workspace: Workspace) -> None:
    tasks = [task("created", march(1), task=None, salt=salt) for salt in "xy"]
    assert build(workspace, *tasks).keys() == {activity.id for activity in tasks}


def test_a_task_created_twice_is_its_first_creation_and_of_two_closings_at_once_the_smaller_id_counts(
    workspace: Workspace,
) -> None:
    first, again = task("created", march(1), channel=None), task("created", march(2), step=3)
    closings = [task(event, march(3)) for event in ("completed", "skipped")]
    rows = build(workspace, first, again, *closings)
    assert rows.keys() == {first.id}
    row = rows[first.id]
    assert (row["acted_at"], row["step"], row["channel"]) == (march(1), None, "NONE")
    assert row["closed_by"] == min(closings, key=lambda closing: closing.id).type


STOPPED, COMPLETED = Activity("sequence.stopped", march(5)), Activity("sequence.completed", march(4))


def ended(*ends: Activity) -> str:
    """Add the case of three actions and these activities."""
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
def test_a_run_is_over_at_its_first_end_or_thirty_days_after_its_last_activity(
    case: Workspace, over_at: datetime
) -> None:
    assert [row["run_over_at"] for row in actions(case).values()] == [over_at] * 3


@cases.happened(
    *(sent(march(1)), invited(march(2)), task("created", march(9)), replied(march(3), category="INTERESTED"), STOPPED)
)
def test_only_the_last_touch_has_the_exit_reason(case: Workspace) -> None:
    assert [actions(case)[march(day)]["exit_reason"] for day in (1, 2, 9)] == [None, "positive", None]


FLAGS = ("is_first_reply", "is_first_positive_reply", "is_first_opt_out")


def flagged(case: Workspace, flag: str) -> list[int | None]:
    """Return the days of March whose action has the flag."""
    return [row["acted_at"].day for _, row in sorted(actions(case).items()) if row[flag]]


@cases.happened(
    *(sent(march(day), message=f"m{day}") for day in (1, 3, 5, 7)),
    *(replied(march(2), message="m1", category="REFERRAL"), replied(march(4), message="m3", category="INTERESTED")),
    *(
        replied(march(6), message="m5", category="MEETING"),
        replied(march(6, 10), message="m5", category="UNSUBSCRIBED"),
    ),
    *(
        replied(march(8), message="m7", category="UNSUBSCRIBED"),
        step("completed", march(9)),
        task("created", march(10)),
    ),
)
def test_the_first_reply_the_first_positive_one_and_the_first_opt_out_can_answer_different_touches(
    case: Workspace,
) -> None:
    assert [flagged(case, flag) for flag in FLAGS] == [[1], [3], [5]]
    assert [actions(case)[march(7)][flag] for flag in FLAGS] == [False] * 3
    assert {actions(case)[march(day)][flag] for day in (9, 10) for flag in FLAGS} == {None}


@cases.happened(
    *(replied(march(1), category="INTERESTED"), replied(march(1, 10), category="UNSUBSCRIBED"), sent(march(2))),
    *(replied(march(3), category="INTERESTED"), replied(march(3, 10), category="UNSUBSCRIBED")),
)
def test_when_the_first_positive_reply_answers_no_touch_the_second_one_does_not_take_its_place(
    case: Workspace,
) -> None:
    email = actions(case)[march(2)]
    assert email["replied_at"] == march(3)
    assert [email[flag] for flag in FLAGS] == [False] * 3


@cases.happened(
    *(sent(march(1)), invited(march(2)), sent(march(3), channel="LINKEDIN")),
    *(replied(march(4), category="INTERESTED"), replied(march(5), channel="LINKEDIN", category="UNSUBSCRIBED")),
)
def test_positive_replies_and_opt_outs_are_attributed_as_other_replies_are(case: Workspace) -> None:
    assert [flagged(case, flag) for flag in FLAGS] == [[1], [1], [3]]


@cases.happened(sent(march(1)), replied(march(2), category="NOT_INTERESTED"), replied(march(3), category="BOUNCED"))
def test_without_a_positive_reply_or_an_opt_out_no_touch_is_flagged(case: Workspace) -> None:
    assert [flagged(case, flag) for flag in FLAGS] == [[1], [], []]


CATEGORIES = {
    "INTERESTED": "positive",
    "WRONG_PERSON": "neutral",
    "NOT_INTERESTED": "negative",
    "UNSUBSCRIBED": "opt_out",
    "OUT_OF_OFFICE": "out_of_office",
    "SPAM_FILTER": "bounced",
    "UNKNOWN": "unknown",
    "ADDED BY TOPO": "unknown",
    None: "pending",
}


def test_every_reply_hot_lead_meeting_and_instant_open_is_a_response(anywhere: Workspace) -> None:
    email = sent(march(1), message="m")
    replies = {replied(march(2, hour), category=category): of for hour, (category, of) in enumerate(CATEGORIES.items())}
    others = [
        *(Activity(type_, march(3, hour)) for type_ in ("hot_lead.created", "meeting.created") for hour in (9, 10)),
        *(opened(march(1) + seconds * SECOND, message="m") for seconds in (0, 10)),
        Activity("meeting.created", march(3), sequence=None),  # of the run's only other sequence
    ]
    left_out = [
        *(email, enrolled(march(1)), invited(march(1)), opened(march(1) + 11 * SECOND, message="m")),
        *(opened(march(1), message="never sent", salt="unknown message"), opened(march(1) - SECOND)),
        *(Activity("message.link_clicked", march(1), message="m"), accepted(march(2))),
        *(replied(march(2), run=None), Activity("meeting.created", march(3), run=None)),
    ]
    rows = build(anywhere, *replies, *others, *left_out, table="sequence_responses")
    assert rows == {
        activity.id: {
            "sequence_template_id": uid("outbound"),
            "sequence_id": uid("A"),
            "activity_id": activity.id,
            "type": activity.type,
            "responded_at": activity.created_at,
            "class": replies.get(activity),
        }
        for activity in (*replies, *others)
    }


def test_responses_follow_a_changed_category_and_a_removed_reply(workspace: Workspace) -> None:
    reply, other = replied(march(2)), replied(march(2, 10), "B")

    def classes(*activities: Activity) -> dict[str, str]:
        workspace.land(march(2).date(), activities)
        workspace.build("sequence_runs")
        return {row["activity_id"]: row["class"] for row in workspace.rows("sequence_responses")}

    assert classes(reply, other) == {reply.id: "pending", other.id: "pending"}
    assert classes(reply.relabelled("MEETING"), other) == {reply.id: "positive", other.id: "pending"}
    assert classes(other) == {other.id: "pending"}
