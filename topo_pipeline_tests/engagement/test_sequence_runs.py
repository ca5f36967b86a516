"""`sequence_runs`: the touch that a reply answers, stages, outcomes, ends and anomalies of a run."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from topo_pipeline.engagement.rules import DEFAULT_RULES
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
    """Add the case of a run that was enrolled early on March 1st and had these activities."""
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


# The touches of a run, a reply, how its touch is found and the step of that touch.
ANSWERS = {
    "the message it names": ((FIRST, SECOND), replied(march(4), message="M1"), "exact", 1),
    "a message that the run never sent": (
        (FIRST, SECOND),
        replied(march(4), message="M9"),
        "last_touch_same_channel",
        2,
    ),
    "no message named": ((FIRST, SECOND), replied(march(4)), "last_touch_same_channel", 2),
    "the last touch on its channel": (
        (FIRST, invited(march(3), step=2)),
        replied(march(4)),
        "last_touch_same_channel",
        1,
    ),
    "an invitation": (
        (FIRST, invited(march(3), step=2)),
        replied(march(4), channel="LINKEDIN"),
        "last_touch_same_channel",
        2,
    ),
    "no touch on its channel": ((FIRST, SECOND), replied(march(4), channel="MANUAL"), "last_touch_any", 2),
    "a touch after the reply": ((FIRST, SECOND), replied(march(2)), "last_touch_same_channel", 1),
    "a touch at the same instant": ((FIRST,), replied(march(1, 9)), "last_touch_same_channel", 1),
    "a message sent later": ((SECOND,), replied(march(2), message="M2"), "none", None),
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
    assert row["touches_before_reply"] == sum(touch.created_at <= reply.created_at for touch in touches)


@happened(
    FIRST,
    replied(march(1, 10), category="OUT_OF_OFFICE"),
    SECOND,
    replied(march(4, 9), category="INTERESTED"),
)
def test_an_out_of_office_reply_is_not_attributed(case: Workspace) -> None:
    row = case.run()
    assert row["replied_step"] == 2
    assert row["hours_to_first_reply"] == 72
    assert row["hours_from_last_touch"] == 24


@happened(FIRST, replied(march(2), category="BOUNCED"))
def test_reply_columns_are_null_without_a_valid_reply(case: Workspace) -> None:
    row = case.run()
    columns = ("reply_channel", "replied_step", "reply_attribution", "touches_before_reply", "hours_to_first_reply")
    assert [row[column] for column in columns] == [None] * len(columns)


CHANNELS = {
    "EMAIL": "EMAIL",
    "LINKEDIN": "LINKEDIN",
    "MANUAL": "MANUAL",
    "PIGEON": "OTHER",
    "NONE": "OTHER",
    None: "NONE",
}


@pytest.mark.parametrize(
    ("case", "channel"),
    [(run_of(FIRST, replied(march(2), channel=channel)), group) for channel, group in CHANNELS.items()],
    indirect=["case"],
)
def test_the_channel_of_the_first_valid_reply_is_reduced_to_the_known_ones(case: Workspace, channel: str) -> None:
    assert case.run()["reply_channel"] == channel


@pytest.mark.parametrize(
    ("case", "hours"),
    [
        # Before the first message, but after the invitation.
        (run_of(invited(march(1, 8)), replied(march(1, 20)), sent(march(2))), (12, 12)),
        # The first valid reply came before any touch, so the second one counts.
        (run_of(replied(march(1, 7)), FIRST, replied(march(2, 9)), replied(march(3))), (24, None)),
        (run_of(replied(march(1, 7)), FIRST), (None, None)),
        (run_of(FIRST, replied(march(1, 9))), (0, 0)),
        (run_of(replied(march(1, 7))), (None, None)),
        # DuckDB's least(NULL, 30) is 30: a late reply must keep its own time and a missing one must stay NULL.
        (run_of(FIRST, replied(march(41, 9))), (960, 960)),
        (run_of(FIRST), (None, None)),
    ],
    indirect=["case"],
    ids=["after an invitation", "second reply", "before the touch", "at once", "untouched", "after 40 days", "none"],
)
def test_hours_to_first_reply_run_from_the_first_touch_to_the_first_valid_reply_after_it(
    case: Workspace, hours: tuple[float | None, float | None]
) -> None:
    row = case.run()
    assert (row["hours_to_first_reply"], row["hours_from_last_touch"]) == hours


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
    ids=["before the send", "at once", "at the limit", "after it", "unnamed", "unnamed, after it", "another message"],
)
def test_an_open_up_to_ten_seconds_after_its_send_is_instant(case: Workspace, instant: int) -> None:
    row = case.run()
    assert (row["opens"], row["opens_instant"]) == (1, instant)


SOON = timedelta(seconds=2)


@happened(
    FIRST,
    sent(march(2), channel="LINKEDIN"),
    opened(march(2) + SOON),  # the last email is a day old
    sent(march(3), message="M1"),
    opened(march(3) + SOON, message="M1"),
    sent(march(4)),
    opened(march(4) + SOON),
)
def test_an_open_belongs_to_the_last_email_or_to_the_latest_send_of_the_message_it_names(case: Workspace) -> None:
    row = case.run()
    assert (row["opens"], row["opens_instant"]) == (3, 2)


@happened(FIRST, opened(march(2)), event("message.link_clicked", march(4)), replied(march(5)))
def test_last_look_at_is_the_last_open_or_click(case: Workspace) -> None:
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
def test_max_stage_is_the_furthest_stage_reached(case: Workspace, stage: str) -> None:
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
def test_exit_reason_is_the_first_that_applies(case: Workspace, reason: str) -> None:
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
def test_an_event_before_or_without_its_cause_is_an_anomaly(case: Workspace, anomalies: list[str]) -> None:
    assert case.run()["anomalies"] == anomalies


@happened(
    *(FIRST, replied(march(2), category="OUT_OF_OFFICE"), replied(march(3)), replied(march(4), category="UNKNOWN")),
    *(replied(march(5), category="ADDED BY TOPO"), replied(march(6), category="REFERRAL")),
)
def test_a_reply_is_classified_when_its_class_is_neither_pending_nor_unknown(case: Workspace) -> None:
    row = case.run()
    assert row["first_valid_reply_at"] == march(3)
    assert row["first_classified_reply_at"] == march(6)


@happened(sent(march(2), channel="LINKEDIN"), sent(march(3)), sent(march(4), channel=None))
def test_the_first_message_by_email_and_on_linkedin_has_its_own_time(case: Workspace) -> None:
    row = case.run()
    assert (row["first_linkedin_at"], row["first_email_at"]) == (march(2), march(3))
    assert row["last_activity_at"] == march(4)


@happened(
    FIRST,
    event("sequence_step.completed", march(2), step=1),
    event("sequence_step.skipped", march(3), step=3),
)
def test_steps_are_counted_and_last_step_is_the_highest_number(case: Workspace) -> None:
    row = case.run()
    assert (row["steps_completed"], row["steps_skipped"], row["last_step"]) == (1, 1, 3)


def done(at: datetime, step: int | None, **details: Any) -> Activity:
    return event("sequence_step.completed", at, step=step, **details)


@pytest.mark.parametrize(
    ("case", "last"),
    [
        (run_of(FIRST), (None, None)),
        (run_of(done(march(2), 2, channel="LINKEDIN"), done(march(3), 1, channel="EMAIL")), (1, "EMAIL")),
        (run_of(done(march(2), 1, channel="PIGEON"), done(march(3), None, channel="EMAIL")), (1, "OTHER")),
        (run_of(done(march(2), 1), event("sequence_step.skipped", march(3), step=2)), (1, "NONE")),
        (run_of(done(march(2), None)), (None, None)),
    ],
    indirect=["case"],
    ids=["none", "by time, not by number", "the last with a number", "not a skipped one", "no number"],
)
def test_the_last_completed_step_is_the_latest_that_has_a_number(
    case: Workspace, last: tuple[int | None, str | None]
) -> None:
    row = case.run()
    assert (row["last_completed_step"], row["last_completed_channel"]) == last


# Strongest first.
OUTCOMES: dict[str, Callable[[datetime], Activity]] = {
    "meeting": lambda at: event("meeting.created", at),
    "positive": lambda at: replied(at, category="INTERESTED"),
    "opt_out": lambda at: replied(at, category="UNSUBSCRIBED"),
    "negative": lambda at: replied(at, category="NOT_INTERESTED"),
    "neutral": lambda at: replied(at, category="BAD_TIMING"),
    "unknown": lambda at: replied(at, category="UNKNOWN"),
    "pending": replied,
    "out_of_office": lambda at: replied(at, category="OUT_OF_OFFICE"),
    "bounced": lambda at: replied(at, category="SPAM_FILTER"),
}
STRONGEST_FIRST = [
    (outcome, run_of(FIRST, *(make(march(2, hour)) for hour, make in enumerate([*OUTCOMES.values()][place:]))))
    for place, outcome in enumerate(OUTCOMES)
]
STRONGEST_LAST = [
    (outcome, run_of(FIRST, *(make(march(2, 9 - hour)) for hour, make in enumerate([*OUTCOMES.values()][place:]))))
    for place, outcome in enumerate(OUTCOMES)
]


@pytest.mark.parametrize(
    ("outcome", "case"),
    STRONGEST_FIRST + STRONGEST_LAST,
    indirect=["case"],
    ids=[f"{outcome}, {order}" for order in ("first", "last") for outcome in OUTCOMES],
)
def test_the_outcome_is_the_strongest_event_at_any_time(case: Workspace, outcome: str) -> None:
    assert case.run()["outcome"] == outcome


DEADLINE = FIRST.created_at + timedelta(days=30)
INTERESTED = OUTCOMES["positive"]


@pytest.mark.parametrize(
    ("case", "outcome"),
    [
        (run_of(FIRST), "none"),
        (run_of(FIRST, opened(march(2)), event("hot_lead.created", march(2))), "none"),
        (run_of(FIRST, INTERESTED(FIRST.created_at)), "positive"),
        (run_of(FIRST, INTERESTED(FIRST.created_at - timedelta(seconds=1))), "none"),
        (run_of(FIRST, INTERESTED(DEADLINE)), "positive"),
        (run_of(FIRST, replied(march(5)), INTERESTED(DEADLINE + timedelta(seconds=1))), "pending"),
        (run_of(invited(march(1, 8)), INTERESTED(march(1, 8, 30)), sent(march(2))), "positive"),
        (run_of(INTERESTED(march(2)), event("meeting.created", march(3))), None),
    ],
    indirect=["case"],
    ids=["nothing", "no reply", "at once", "before", "in time", "too late", "from the invitation on", "untouched"],
)
def test_the_outcome_is_that_of_the_thirty_days_from_the_first_touch(case: Workspace, outcome: str | None) -> None:
    assert case.run()["outcome"] == outcome


ENROLLED = march(1, 6)
MONTH_LATER = ENROLLED + timedelta(days=30)
IN_TIME = {"message.sent": "contacted", "sequence.completed": "completed", "sequence.stopped": "stopped"}


@pytest.mark.parametrize(
    ("case", "in_time"),
    [
        (cases.add(*before, *(event(type_, at) for type_ in IN_TIME for at in times)), expected)
        for before, times, expected in [
            ([enrolled(ENROLLED)], [], False),
            ([enrolled(ENROLLED)], [ENROLLED], True),
            ([enrolled(ENROLLED)], [MONTH_LATER], True),
            ([enrolled(ENROLLED)], [MONTH_LATER + timedelta(seconds=1)], False),
            ([enrolled(ENROLLED)], [ENROLLED - timedelta(hours=1)], False),
            # Some such event counts, not only the first.
            ([enrolled(ENROLLED)], [ENROLLED - timedelta(hours=1), march(2)], True),
            ([opened(ENROLLED)], [march(2)], None),
        ]
    ],
    indirect=["case"],
    ids=["never", "at once", "in time", "too late", "before", "before and after", "not enrolled"],
)
def test_a_message_a_completion_and_a_stop_are_in_time_up_to_thirty_days_after_the_enrolment(
    case: Workspace, in_time: bool | None
) -> None:
    row = case.run()
    assert {name: row[f"{name}_in_time"] for name in IN_TIME.values()} == dict.fromkeys(IN_TIME.values(), in_time)


@pytest.mark.parametrize("seconds", [100_000, 1_000_000])
def test_instant_opens_allow_a_large_number_of_seconds(workspace: Workspace, seconds: int) -> None:
    """The seconds are compared in microseconds, which overflow an INTEGER from 2,148 seconds on."""
    limit = FIRST.created_at + timedelta(seconds=seconds)
    workspace.land_all([FIRST, opened(limit), opened(limit + timedelta(seconds=1))])
    workspace.build("sequence_runs", rules=replace(DEFAULT_RULES, instant_open_seconds=seconds))
    assert workspace.run()["opens_instant"] == 1
