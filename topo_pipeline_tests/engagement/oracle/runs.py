"""`sequence_runs` and `sequence_responses`: what each run did and what it led to."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache

from topo_pipeline_tests.engagement.helpers import Activity, uid
from topo_pipeline_tests.engagement.oracle.answers import answered_by, is_instant, touches
from topo_pipeline_tests.engagement.oracle.world import (
    ENDS,
    KINDS,
    LOOKS,
    ONE_DAY,
    TOUCHES,
    Row,
    World,
    channel_of,
    days,
    group_of,
    id_of,
)

# The column that holds the first ever of each kind.
FIRST_EVER = {
    "found": "enrolled_at",
    "sent": "contacted_at",
    "invitations": "first_invitation_at",
    "accepted": "accepted_at",
    "opens": "first_open_at",
    "clicks": "first_click_at",
    "replies": "first_reply_at",
    "valid_replies": "first_valid_reply_at",
    "positive_replies": "first_positive_reply_at",
    "hot_leads": "hot_lead_at",
    "meetings": "meeting_at",
}
# What a run can come to, strongest first.
OUTCOMES = (
    *("meeting", "positive", "opt_out", "negative", "neutral", "unknown", "pending", "out_of_office", "bounced"),
    "none",
)


# Whether it happened within the outcome window of the enrolment.
IN_TIME = {
    "contacted_in_time": "message.sent",
    "completed_in_time": "sequence.completed",
    "stopped_in_time": "sequence.stopped",
}


@dataclass(frozen=True, eq=False)
class Run:
    """A contact in a sequence: the activities of one sequence_id in one sequence, earliest first."""

    world: World
    sequence: str | None
    name: str
    history: list[Activity]
    run_enrolled_at: datetime | None

    @property
    def key(self) -> Row:
        return {"sequence_template_id": id_of(self.sequence), "sequence_id": uid(self.name)}

    def times(self, kind: str) -> list[datetime]:
        """Return when activities that count in total_<kind> happened."""
        return self._times[kind]

    @cached_property
    def _times(self) -> dict[str, list[datetime]]:
        return {kind: [a.created_at for a in self.history if self.world.is_kind(a, kind)] for kind in KINDS}

    def times_of(self, *types: str) -> list[datetime]:
        return [a.created_at for a in self.history if a.type in types]

    @cached_property
    def valid_replies(self) -> list[Activity]:
        return [a for a in self.history if self.world.is_valid_reply(a)]

    @cached_property
    def classified_replies(self) -> list[Activity]:
        return [a for a in self.valid_replies if self.world.reply_class(a) not in ("unknown", "pending")]

    def first_reply(self, *classes: str) -> Activity | None:
        return next((a for a in self.history if self.world.is_reply(a, *classes)), None)

    @cached_property
    def row(self) -> Row:
        """The row of sequence_runs."""
        return self.key | _beginning(self) | _counts(self) | _answered(self) | _state(self)

    @property
    def is_left_censored(self) -> bool:
        return bool(self.row["left_censored"])

    @property
    def has_ended(self) -> bool:
        return any(a.type in ENDS for a in self.history)


@lru_cache(maxsize=4)
def runs_of(world: World) -> list[Run]:
    """Return every run."""
    histories: dict[tuple[str | None, str], list[Activity]] = {}
    enrolled: dict[str, datetime] = {}
    for activity in world.activities:
        if activity.run is None:
            continue
        histories.setdefault((world.sequence_of(activity), activity.run), []).append(activity)
        if activity.type == "sequence.created":
            enrolled.setdefault(activity.run, activity.created_at)
    return [Run(world, sequence, name, history, enrolled.get(name)) for (sequence, name), history in histories.items()]


def sequence_runs(world: World) -> list[Row]:
    return [run.row for run in runs_of(world)]


def sequence_responses(world: World) -> list[Row]:
    """Return replies, hot leads, meetings and instant opens of runs."""
    return [
        run.key
        | {
            "activity_id": activity.id,
            "type": activity.type,
            "responded_at": activity.created_at,
            "class": world.reply_class(activity) if activity.type == "message.replied" else None,
        }
        for run in runs_of(world)
        for activity in run.history
        if activity.type in ("message.replied", "hot_lead.created", "meeting.created")
        or (activity.type == "message.opened" and is_instant(activity, run.history, world))
    ]


def _first(moments: list[datetime]) -> datetime | None:
    return min(moments, default=None)


def _beginning(run: Run) -> Row:
    """The first time of everything, and whether the beginning of the run was seen."""
    history = run.history
    row: Row = {column: _first(run.times(kind)) for kind, column in FIRST_EVER.items()}
    row |= {
        "run_enrolled_at": run.run_enrolled_at,
        "first_activity_at": history[0].created_at,
        "last_activity_at": history[-1].created_at,
        "last_look_at": max(run.times_of(*LOOKS), default=None),
        "touched_at": _first(run.times_of(*TOUCHES)),
        "first_email_at": _first([a.created_at for a in _messages(run, "EMAIL")]),
        "first_linkedin_at": _first([a.created_at for a in _messages(run, "LINKEDIN")]),
        "first_classified_reply_at": _first([a.created_at for a in run.classified_replies]),
        "completed_at": _first(run.times_of("sequence.completed")),
        "stopped_at": _first(run.times_of("sequence.stopped")),
        "person_id": min((uid(a.person) for a in history if a.person is not None), default=None),
    }
    row["left_censored"] = _is_left_censored(run)
    row["start_uncertain"] = _is_start_uncertain(run, row["enrolled_at"], row["touched_at"])
    row["outcome"] = _outcome(run, row["touched_at"])
    for column, type_ in IN_TIME.items():
        row[column] = _is_in_time(run, type_, row["enrolled_at"])
    return row


def _messages(run: Run, channel: str) -> list[Activity]:
    return [a for a in run.history if a.type == "message.sent" and channel_of(a) == channel]


def _is_left_censored(run: Run) -> bool:
    world = run.world
    if run.run_enrolled_at is not None or world.rules.censored_days == 0:
        return False
    until = world.midnight(world.first_landed + world.rules.censored_days * ONE_DAY)
    return world.shows_enrolments and run.history[0].created_at < until


def _is_start_uncertain(run: Run, enrolled_at: datetime | None, touched_at: datetime | None) -> bool:
    world = run.world
    enrolled = enrolled_at or run.run_enrolled_at
    if enrolled is not None and touched_at is not None:
        waited = days(world.day_of(enrolled), world.day_of(touched_at) - ONE_DAY)
        if any(day in world.unknown_days for day in waited):
            return True
    if run.run_enrolled_at is not None or world.rules.censored_days == 0:
        return False
    first = world.day_of(run.history[0].created_at)
    earlier = days(first - world.rules.censored_days * ONE_DAY, first - ONE_DAY)
    return any(day in world.unknown_days for day in earlier)


def _is_in_time(run: Run, type_: str, enrolled_at: datetime | None) -> bool | None:
    if enrolled_at is None:
        return None
    until = enrolled_at + run.world.rules.reply_window_days * timedelta(hours=24)
    return any(enrolled_at <= at <= until for at in run.times_of(type_))


def _outcome(run: Run, touched_at: datetime | None) -> str | None:
    if touched_at is None:
        return None
    until = touched_at + run.world.rules.reply_window_days * timedelta(hours=24)
    found = {"none"}
    for activity in run.history:
        if touched_at <= activity.created_at <= until:
            if activity.type == "meeting.created":
                found.add("meeting")
            if activity.type == "message.replied":
                found.add(run.world.reply_class(activity))
    return min(found, key=OUTCOMES.index)


def _counts(run: Run) -> Row:
    history = run.history
    steps = [a for a in history if a.type == "sequence_step.completed" and a.step is not None]
    return {
        "messages_sent": len(run.times("sent")),
        "emails_sent": len(_messages(run, "EMAIL")),
        "linkedin_sent": len(_messages(run, "LINKEDIN")),
        "invitations_sent": len(run.times("invitations")),
        "opens": len(run.times("opens")),
        "opens_instant": sum(a.type == "message.opened" and is_instant(a, history, run.world) for a in history),
        "clicks": len(run.times("clicks")),
        "replies": len(run.times("replies")),
        "pause_count": len(run.times_of("sequence.paused")),
        "steps_completed": len(run.times_of("sequence_step.completed")),
        "steps_skipped": len(run.times_of("sequence_step.skipped")),
        "last_step": max((a.step for a in history if a.step is not None), default=None),
        "last_completed_step": steps[-1].step if steps else None,
        "last_completed_channel": group_of(steps[-1]) if steps else None,
    }


def _answered(run: Run) -> Row:
    """What the first valid reply answers, and how long the contact took."""
    names = ("reply_channel", "replied_step", "reply_attribution", "touches_before_reply", "hours_from_last_touch")
    touched = _first(run.times_of(*TOUCHES))
    after = [a.created_at for a in run.valid_replies if touched is not None and a.created_at >= touched]
    row: Row = dict.fromkeys(names)
    row["hours_to_first_reply"] = hours(after[0] - touched) if after and touched is not None else None
    if not run.valid_replies:
        return row
    reply = run.valid_replies[0]
    attribution, answered = answered_by(reply, run.history)
    earlier = [t for t in touches(run.history) if t.created_at <= reply.created_at]
    step = answered.step if answered is not None else None
    return row | {
        "reply_channel": group_of(reply),
        "replied_step": step if step is not None else reply.step,
        "reply_attribution": attribution,
        "touches_before_reply": len(earlier),
        "hours_from_last_touch": hours(reply.created_at - earlier[-1].created_at) if earlier else None,
    }


def hours(span: timedelta) -> float:
    return span / timedelta(hours=1)


def _state(run: Run) -> Row:
    types = {a.type for a in run.history}
    pauses = [a.type for a in run.history if a.type in ("sequence.paused", "sequence.resumed")]
    return {
        "is_paused": pauses[-1:] == ["sequence.paused"] and not run.has_ended,
        "max_stage": _stage(run, types),
        "exit_reason": _exit_reason(run, types),
        "anomalies": _anomalies(run),
    }


def _stage(run: Run, types: set[str | None]) -> str:
    if "meeting.created" in types:
        return "meeting"
    if run.first_reply("positive"):
        return "positive"
    if run.valid_replies:
        return "replied"
    if types & {"message.opened", "message.link_clicked", "invitation.accepted"}:
        return "engaged"
    return "touched" if types & {*TOUCHES} else "enrolled"


def _exit_reason(run: Run, types: set[str | None]) -> str:
    stage = _stage(run, types)
    if stage in ("meeting", "positive", "replied"):
        return stage
    if "sequence.stopped" in types:
        return "stopped"
    return "completed" if "sequence.completed" in types else "active"


def _anomalies(run: Run) -> list[str]:
    """Name what came before, or without, what it needs."""
    needs = {
        "reply_before_touch": (("message.replied",), TOUCHES),
        "open_without_send": (("message.opened",), ("message.sent",)),
        "click_without_send": (("message.link_clicked",), ("message.sent",)),
        "acceptance_without_invitation": (("invitation.accepted",), ("invitation.sent",)),
    }
    found = []
    for name, (effects, causes) in needs.items():
        effect, cause = _first(run.times_of(*effects)), _first(run.times_of(*causes))
        if effect is not None and (cause is None or effect < cause):
            found.append(name)
    stopped = _first(run.times_of("sequence.stopped"))
    if stopped is not None and any(at > stopped for at in run.times_of(*TOUCHES)):
        found.append("event_after_stop")
    return found
