"""Generate the activities of one sequence run, from enrolment to its end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any

from topo_pipeline.sandbox.activity import Activity, Channel, EventType, ResourceType
from topo_pipeline.sandbox.dice import Dice
from topo_pipeline.sandbox.sequences import FORMER_CUSTOMERS, WARM, Sequence, Step, StepKind

HORIZON = timedelta(days=45)
"""Latest time of a run's activities, counted from midnight (UTC) of its enrolment day."""

CLOSING_DAYS = 3
PAUSED = 0.006
STOPPED_BY_HAND = 0.004
PREFETCHED = 0.11
OPENED_AGAIN = 0.42
MOST_OPENS = 5
LATER_MESSAGES_WEIGH = 0.72
ANSWERED_AGAIN = 0.22
TURNED_POSITIVE = 0.6
CAN_TURN_POSITIVE = ("BAD_TIMING", "REFERRAL")
POSITIVE = {"INTERESTED": 2, "MEETING": 1}
OUT_OF_OFFICE = 0.006
ANSWERED_WHEN_BACK = 0.2
INVITATION_ANSWERED = 0.06
INVITATION_ANSWERED_AS = {"INTERESTED": 4, "BAD_TIMING": 3, "UNKNOWN": 3}
MESSAGE_ANSWERED_TOO = 0.5
MOVED = 0.01
DAYS_TO_MOVE = 2
WITHOUT_TEMPLATE = 0.004
UNDELIVERABLE = 0.008
UNDELIVERABLE_AS = {"BOUNCED": 3, "SPAM_FILTER": 1}
MEETING_AFTER = {"MEETING": 0.85, "INTERESTED": 0.3}
SHORTEST_CLASSIFICATION, LONGEST_CLASSIFICATION = timedelta(minutes=2), timedelta(hours=36)
TASK_OUTCOMES = {"COMPLETED": 70, "SKIPPED": 18, "OPEN": 12}
HOT_SCORE = 6
SCORES: dict[EventType, int] = {"OPENED": 1, "LINK_CLICKED": 3, "ACCEPTED": 3, "REPLIED": 3}


@dataclass(frozen=True)
class _Message:
    """A sent message. Its opens and replies have the same channel, step number and message id: its `fields`."""

    sent_at: datetime
    fields: dict[str, Any]

    @classmethod
    def of(cls, run: "_Run", sent_at: datetime, channel: Channel, step_number: int) -> "_Message":
        return cls(sent_at, {"channel": channel, "step_number": step_number, "message_id": run.dice.uuid()})


@dataclass
class _Run:
    """A run while it is generated."""

    sequence: Sequence
    dice: Dice
    template_id: Callable[[Sequence], str]
    person_id: str
    id: str
    activities: list[Activity] = field(default_factory=list)
    stopped_at: datetime | None = None
    accepted_at: datetime | None = None
    invitation_answered_at: datetime | None = None
    messages: int = 0
    was_paused: bool = False

    def record(self, resource: ResourceType, event: EventType, at: datetime, **facts: Any) -> None:
        self.activities.append(
            Activity(
                id=self.dice.uuid(),
                created_at=at,
                resource_type=resource,
                event_type=event,
                person_id=self.person_id,
                sequence_id=self.id,
                sequence_template_id=None if self.dice.chance(WITHOUT_TEMPLATE) else self.template_id(self.sequence),
                **facts,
            )
        )

    def stop(self, at: datetime) -> None:
        self.stopped_at = min(at, self.stopped_at or at)

    def is_stopped(self, at: datetime) -> bool:
        return self.stopped_at is not None and self.stopped_at <= at


def timeline(
    sequence: Sequence, dice: Dice, enrolled_at: datetime, *, template_id: Callable[[Sequence], str], person_id: str
) -> list[Activity]:
    """Return every activity of one run, unsorted. `template_id` returns the id of a sequence."""
    run = _Run(sequence, dice, template_id, person_id, id=dice.uuid())
    run.record("SEQUENCE", "CREATED", enrolled_at)
    at = enrolled_at
    for planned_in, number, step in _plan(sequence, dice):
        at = _next_slot(run, at, step.after_days)
        if run.is_stopped(at):
            break
        if planned_in is not run.sequence:
            run.sequence, run.messages = planned_in, 0
        if run.stopped_at is None and dice.chance(STOPPED_BY_HAND):
            run.stop(at)
            break
        _STEP_ACTIONS[step.kind](run, number, at)
    _close(run, at)
    _record_hot_lead(run)
    last = datetime.combine(enrolled_at.date(), time(), UTC) + HORIZON
    return [activity for activity in run.activities if activity.created_at < last]


def _plan(sequence: Sequence, dice: Dice) -> list[tuple[Sequence, int, Step]]:
    """Return the steps of a run, each with its sequence and number. Some runs are moved after their first step."""
    first, *later = [(sequence, number, step) for number, step in enumerate(sequence.steps, start=1)]
    if sequence is FORMER_CUSTOMERS or not dice.chance(MOVED):
        return [first, *later]
    start, *rest = FORMER_CUSTOMERS.steps
    steps = (Step(start.kind, DAYS_TO_MOVE), *rest)
    return [first, *((FORMER_CUSTOMERS, number, step) for number, step in enumerate(steps, start=1))]


def _next_slot(run: _Run, before: datetime, after_days: int) -> datetime:
    """Return the time of the next step. A pause before it delays it."""
    slot = run.dice.in_office_hours(before.date(), after_days)
    if after_days == 0 or run.was_paused or not run.dice.chance(PAUSED * after_days):
        return slot
    paused_at = run.dice.soon(before, 60, (slot - before).total_seconds())
    resumed_at = run.dice.in_office_hours(paused_at.date(), 1 + run.dice.below(6))
    if run.is_stopped(resumed_at):
        return slot
    run.was_paused = True
    run.record("SEQUENCE", "PAUSED", paused_at)
    run.record("SEQUENCE", "RESUMED", resumed_at)
    return max(slot, run.dice.in_office_hours(resumed_at.date(), 1))


def _email(run: _Run, number: int, at: datetime) -> None:
    is_first = not any(activity.type == "message.sent" for activity in run.activities)
    message = _send(run, number, "EMAIL", at)
    if is_first and run.dice.chance(UNDELIVERABLE):
        returned_at = run.dice.soon(at, 5, 300)
        _answer(run, message, returned_at, run.dice.pick(UNDELIVERABLE_AS))
        run.stop(returned_at)
        return
    if run.sequence.is_tracked:
        _open(run, message)
    if run.dice.chance(OUT_OF_OFFICE):
        away_at = run.dice.soon(at, 15, 600)
        _answer(run, message, away_at, "OUT_OF_OFFICE")
        if run.dice.chance(ANSWERED_WHEN_BACK):
            _reply(run, message, run.dice.reaction(away_at, 60, 9 * 24))
    else:
        _maybe_reply(run, message)


def _linkedin(run: _Run, number: int, at: datetime) -> None:
    """Send a LinkedIn message. If the sequence has an invitation, only contacts who accepted get it."""
    invites = any(step.kind == "invitation" for step in run.sequence.steps)
    if invites and (run.accepted_at is None or run.accepted_at > at):
        run.record("SEQUENCE_STEP", "SKIPPED", at, channel="LINKEDIN", step_number=number)
        return
    _maybe_reply(run, _send(run, number, "LINKEDIN", at))


def _invitation(run: _Run, number: int, at: datetime) -> None:
    step: dict[str, Any] = {"channel": "LINKEDIN", "step_number": number}
    run.record("INVITATION", "SENT", at, **step)
    run.record("SEQUENCE_STEP", "COMPLETED", at, **step)
    if run.dice.chance(run.sequence.acceptance_rate):
        run.accepted_at = run.dice.reaction(at, 20, 14 * 24)
        run.record("INVITATION", "ACCEPTED", run.accepted_at, **step)
        if run.dice.chance(INVITATION_ANSWERED):
            _answer_invitation(run, number, run.accepted_at)


def _answer_invitation(run: _Run, number: int, accepted_at: datetime) -> None:
    """Reply to the invitation's note. No `message.sent` has the note's id. The run continues."""
    run.invitation_answered_at = run.dice.reaction(accepted_at, 3, 24)
    note = _Message.of(run, accepted_at, "LINKEDIN", number)
    _answer(run, note, run.invitation_answered_at, run.dice.pick(INVITATION_ANSWERED_AS))


def _task(run: _Run, number: int, at: datetime) -> None:
    """Create a manual task, such as a call, which is completed, skipped or left open."""
    step: dict[str, Any] = {"channel": "MANUAL", "step_number": number}
    task_id = run.dice.uuid()
    run.record("TASK", "CREATED", at, task_id=task_id, **step)
    outcome = run.dice.pick(TASK_OUTCOMES)
    closed_at = run.dice.reaction(at, 12, 48)
    if outcome == "OPEN" or run.is_stopped(closed_at):
        return
    event: EventType = "COMPLETED" if outcome == "COMPLETED" else "SKIPPED"
    run.record("TASK", event, closed_at, task_id=task_id, **step)
    run.record("SEQUENCE_STEP", event, closed_at, **step)


_STEP_ACTIONS: dict[StepKind, Callable[[_Run, int, datetime], None]] = {
    "email": _email,
    "linkedin": _linkedin,
    "invitation": _invitation,
    "task": _task,
}


def _send(run: _Run, number: int, channel: Channel, at: datetime) -> _Message:
    message = _Message.of(run, at, channel, number)
    run.messages += 1
    run.record("MESSAGE", "SENT", at, **message.fields)
    run.record("SEQUENCE_STEP", "COMPLETED", at, channel=channel, step_number=number)
    return message


def _open(run: _Run, message: _Message) -> None:
    """Record opens: a privacy proxy within seconds, a person within days, possibly repeatedly and with clicks."""
    dice = run.dice
    if dice.chance(PREFETCHED):
        run.record("MESSAGE", "OPENED", dice.soon(message.sent_at, 1, 8), **message.fields)
    if not dice.chance(run.sequence.open_rate):
        return
    opened_at = dice.reaction(message.sent_at, 4, 6 * 24)
    for _ in range(MOST_OPENS):
        run.record("MESSAGE", "OPENED", opened_at, **message.fields)
        if dice.chance(run.sequence.click_rate):
            run.record("MESSAGE", "LINK_CLICKED", dice.soon(opened_at, 4, 120), **message.fields)
        if not dice.chance(OPENED_AGAIN):
            return
        opened_at = dice.reaction(opened_at, 10, 4 * 24)


def _maybe_reply(run: _Run, message: _Message) -> None:
    if run.dice.chance(_reply_chance(run, message)):
        _reply(run, message, run.dice.reaction(message.sent_at, 16, 9 * 24))


def _reply(run: _Run, message: _Message, at: datetime) -> None:
    """Record a person's first reply to a message. It stops the run. A second, better one or a meeting may follow."""
    if run.stopped_at is not None:
        return
    dice = run.dice
    category = dice.pick(WARM if _is_in_contact(run, message) else run.sequence.mood)
    _answer(run, message, at, category)
    run.stop(at)
    if category != "UNSUBSCRIBED" and dice.chance(ANSWERED_AGAIN):
        at = dice.reaction(at, 20, 4 * 24)
        if category in CAN_TURN_POSITIVE and dice.chance(TURNED_POSITIVE):
            category = dice.pick(POSITIVE)
        _answer(run, message, at, category)
    if dice.chance(MEETING_AFTER.get(category, 0)):
        met_at = dice.reaction(at, 14, 5 * 24)
        run.record("MEETING", "CREATED", met_at, calendar_event_id=dice.uuid())


def _is_in_contact(run: _Run, message: _Message) -> bool:
    """Return whether the contact had replied to the invitation before this message."""
    return run.invitation_answered_at is not None and run.invitation_answered_at < message.sent_at


def _reply_chance(run: _Run, message: _Message) -> float:
    """Return this message's share of the sequence's reply rate. The first message has the largest.

    Contacts who replied to the invitation are far more likely to reply to a message too.
    """
    if _is_in_contact(run, message):
        return MESSAGE_ANSWERED_TOO
    planned = sum(step.kind in ("email", "linkedin") for step in run.sequence.steps)
    weights = [LATER_MESSAGES_WEIGH**n for n in range(planned)]
    return run.sequence.reply_rate * weights[run.messages - 1] / sum(weights)


def _answer(run: _Run, message: _Message, at: datetime, category: str) -> None:
    span = LONGEST_CLASSIFICATION / SHORTEST_CLASSIFICATION
    delay = SHORTEST_CLASSIFICATION * span ** run.dice.between(0, 1)
    run.record("MESSAGE", "REPLIED", at, **message.fields, reply_category=category, classified_at=at + delay)


def _close(run: _Run, last_step_at: datetime) -> None:
    """End the run: stopped after a reply or by hand before its completion time, otherwise completed."""
    completed_at = run.dice.in_office_hours(last_step_at.date(), CLOSING_DAYS)
    if run.stopped_at is not None and run.stopped_at <= completed_at:
        run.record("SEQUENCE", "STOPPED", run.dice.soon(run.stopped_at, 1, 4))
    else:
        run.record("SEQUENCE", "COMPLETED", completed_at)


def _record_hot_lead(run: _Run) -> None:
    """Record one hot lead, right after the activity that brings the engagement score to the threshold."""
    score = 0
    for activity in sorted(run.activities, key=lambda activity: activity.created_at):
        score += SCORES.get(activity.event_type, 0)
        if score >= HOT_SCORE:
            hot_at = run.dice.soon(activity.created_at, 2, 60)
            run.record("HOT_LEAD", "CREATED", hot_at, hot_lead_id=run.dice.uuid())
            return
