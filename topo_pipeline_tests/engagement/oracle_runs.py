"""What a run came to, once more and from its definition: one run's activities in, the later columns of its row out."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from topo_pipeline_tests.engagement.helpers import Activity
from topo_pipeline_tests.engagement.oracle_touches import LOOKS, TOUCHES, channel_of, looked_at

PAUSES = {"sequence.paused", "sequence.resumed"}


def outcome(
    history: list[Activity],
    is_valid: Callable[[Activity], bool],
    is_positive: Callable[[Activity], bool],
    instant: timedelta,
) -> dict[str, Any]:
    """The columns that say what became of a run, given its activities, earliest first."""
    first = {
        type_: next((a.created_at for a in history if a.type == type_), None) for type_ in {a.type for a in history}
    }
    valid = [a for a in history if a.type == "message.replied" and is_valid(a)]
    positive = [a for a in history if a.type == "message.replied" and is_positive(a)]
    ended = first.get("sequence.completed") or first.get("sequence.stopped")
    pauses = [a.type for a in history if a.type in PAUSES]
    return {
        "last_activity_at": history[-1].created_at,
        "last_look_at": next((a.created_at for a in reversed(history) if a.type in LOOKS), None),
        "first_email_at": first_in(history, "EMAIL"),
        "first_linkedin_at": first_in(history, "LINKEDIN"),
        "first_classified_reply_at": next((a.created_at for a in valid if a.category is not None), None),
        "opens_instant": sum(is_instant(a, history, instant) for a in history if a.type == "message.opened"),
        "pause_count": pauses.count("sequence.paused"),
        "is_paused": pauses[-1:] == ["sequence.paused"] and not ended,
        "steps_completed": sum(a.type == "sequence_step.completed" for a in history),
        "steps_skipped": sum(a.type == "sequence_step.skipped" for a in history),
        "last_step": max((a.step for a in history if a.step is not None), default=None),
        "max_stage": stage(first, valid, positive),
        "exit_reason": exit_reason(first, valid, positive),
        "anomalies": anomalies(history, first),
    } | answered(history, valid[0] if valid else None, first.get("message.sent"))


def first_in(history: list[Activity], channel: str) -> datetime | None:
    return next((a.created_at for a in history if a.type == "message.sent" and a.channel == channel), None)


def is_instant(opened: Activity, history: list[Activity], instant: timedelta) -> bool:
    """Whether an open followed the send of what was opened too soon for a person."""
    mail = looked_at(opened, history)
    return mail is not None and opened.created_at - mail.created_at <= instant


def answered(history: list[Activity], reply: Activity | None, contacted: datetime | None) -> dict[str, Any]:
    """What the first valid reply answers, and how long that took."""
    names = (
        "reply_channel", "replied_step", "reply_attribution", "touches_before_reply", "hours_to_first_reply",
        "hours_from_last_touch",
    )  # fmt: skip
    if reply is None:
        return dict.fromkeys(names)
    touches = [a for a in history if a.type in TOUCHES and a.created_at <= reply.created_at]
    same_message = [a for a in touches if a.type == "message.sent" and a.message and a.message == reply.message]
    same_channel = [a for a in touches if channel_of(a) is not None and channel_of(a) == channel_of(reply)]
    method, chosen = next(
        (method, found[-1])
        for method, found in (
            ("exact", same_message), ("last_touch_same_channel", same_channel), ("last_touch_any", touches),
            ("none", [reply]),
        )
        if found
    )  # fmt: skip
    step = chosen.step if chosen.step is not None else reply.step
    waited = None if contacted is None else hours(reply.created_at - contacted)
    since = hours(reply.created_at - touches[-1].created_at) if touches else None
    to_reply = waited if waited is not None and waited >= 0 else None
    return dict(zip(names, (channel_of(reply), step, method, len(touches), to_reply, since), strict=True))


def hours(span: timedelta) -> float:
    return span / timedelta(hours=1)


def stage(first: dict[str | None, datetime | None], valid: list[Activity], positive: list[Activity]) -> str:
    if first.get("meeting.created"):
        return "meeting"
    if positive:
        return "positive"
    if valid:
        return "replied"
    if any(first.get(type_) for type_ in ("message.opened", "message.link_clicked", "invitation.accepted")):
        return "engaged"
    return "touched" if any(first.get(type_) for type_ in TOUCHES) else "enrolled"


def exit_reason(first: dict[str | None, datetime | None], valid: list[Activity], positive: list[Activity]) -> str:
    reached = stage(first, valid, positive)
    if reached in {"meeting", "positive", "replied"}:
        return reached
    ends = (("stopped", "sequence.stopped"), ("completed", "sequence.completed"))
    return next((reason for reason, type_ in ends if first.get(type_)), "active")


def anomalies(history: list[Activity], first: dict[str | None, datetime | None]) -> list[str]:
    """What came without, or before, what it presupposes."""
    touched = min((at for type_ in TOUCHES if (at := first.get(type_))), default=None)
    pairs = (
        ("reply_before_touch", first.get("message.replied"), touched),
        ("open_without_send", first.get("message.opened"), first.get("message.sent")),
        ("click_without_send", first.get("message.link_clicked"), first.get("message.sent")),
        ("acceptance_without_invitation", first.get("invitation.accepted"), first.get("invitation.sent")),
    )
    found = [name for name, effect, cause in pairs if effect and (cause is None or effect < cause)]
    stopped = first.get("sequence.stopped")
    after = stopped is not None and any(a.type in TOUCHES and a.created_at > stopped for a in history)
    return [*found, "event_after_stop"] if after else found
