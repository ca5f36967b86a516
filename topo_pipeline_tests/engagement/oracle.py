"""The metrics once more, from their definitions, in plain Python: slow, obvious, and sharing nothing with the SQL.

It knows what is landed now (never in which order, or by how many loads) and computes every row anew.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from topo_pipeline_tests.engagement.helpers import Activity, uid
from topo_pipeline_tests.engagement.oracle_actions import sequence_actions
from topo_pipeline_tests.engagement.oracle_channels import sequence_channels
from topo_pipeline_tests.engagement.oracle_cohorts import sequence_cohorts
from topo_pipeline_tests.engagement.oracle_rates import Row
from topo_pipeline_tests.engagement.oracle_runs import outcome
from topo_pipeline_tests.engagement.oracle_steps import sequence_steps
from topo_pipeline_tests.engagement.oracle_summary import sequence_summary
from topo_pipeline_tests.engagement.oracle_touches import Landed
from topo_pipeline_tests.engagement.oracle_trends import sequence_trends, with_volumes

Key = tuple[str | None, str]

TYPES = {
    "found": "sequence.created",
    "sent": "message.sent",
    "invitations": "invitation.sent",
    "accepted": "invitation.accepted",
    "opens": "message.opened",
    "clicks": "message.link_clicked",
    "replies": "message.replied",
    "hot_leads": "hot_lead.created",
    "meetings": "meeting.created",
}
# Counted of a day and in no funnel: where in sequence_activity, by type.
DAY_ONLY = {
    "runs_completed": "sequence.completed",
    "runs_stopped": "sequence.stopped",
    "runs_paused": "sequence.paused",
    "runs_resumed": "sequence.resumed",
    "steps_completed": "sequence_step.completed",
    "steps_skipped": "sequence_step.skipped",
    "tasks_created": "task.created",
    "tasks_completed": "task.completed",
    "tasks_skipped": "task.skipped",
}
KNOWN = {*TYPES.values(), *DAY_ONLY.values()}
KINDS = (*TYPES, "valid_replies", "positive_replies")
# The column of sequence_runs that holds a run's first ever of each kind.
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


@dataclass(frozen=True)
class Oracle:
    """What the tables have to be, given what is landed: each day's activities, and which days were still open."""

    landed: dict[date, list[Activity]]
    open_days: frozenset[date] = frozenset()
    zone: str = "UTC"
    positive: frozenset[str] = frozenset({"MEETING", "INTERESTED"})
    not_human: frozenset[str] = frozenset({"OUT_OF_OFFICE", "BOUNCED", "SPAM_FILTER"})
    window: timedelta = timedelta(days=30)
    censored_days: int = 30
    instant_seconds: int = 10
    message_window: timedelta = timedelta(days=14)
    open_window: timedelta = timedelta(days=7)
    acceptance_window: timedelta = timedelta(days=30)
    tracking_off_sends: int = 50

    def tables(self) -> dict[str, list[Row]]:
        runs, in_detail = self.sequence_runs(), self.in_detail()
        found = {
            "sequence_activity": self.sequence_activity(),
            "sequence_runs": runs,
            "sequence_actions": sequence_actions(in_detail, runs),
            "sequence_daily": with_volumes(self.sequence_daily()),
            "sequence_cohorts": sequence_cohorts(self),
            "sequence_summary": sequence_summary(self),
            "sequence_trends": sequence_trends(self),
            "sequence_channels": sequence_channels(in_detail),
            "sequence_steps": sequence_steps(in_detail),
        }
        return {name: sorted(rows, key=repr) for name, rows in found.items()}

    def in_detail(self) -> Landed:
        """What the tables of a finer grain than the run are made of."""
        histories = self.histories()
        rows = zip(histories, self.sequence_runs(), strict=True)
        return Landed(
            runs=histories,
            censored=frozenset(key for key, row in rows if row["left_censored"]),
            as_of=self.as_of(),
            not_human=self.not_human,
            reply_window=self.window,
            message_window=self.message_window,
            open_window=self.open_window,
            acceptance_window=self.acceptance_window,
            instant=timedelta(seconds=self.instant_seconds),
            tracking_off_sends=self.tracking_off_sends,
        )

    # sequence_activity

    def sequence_activity(self) -> list[Row]:
        cells: dict[tuple[str | None, str, date], list[Activity]] = {}
        for day, activities in self.landed.items():
            for activity in activities:
                cells.setdefault((activity.sequence, _channel_group(activity), day), []).append(activity)
        return [
            {"sequence_template_id": _id(sequence), "channel": channel, "day": day} | self._activity_counts(cell)
            for (sequence, channel, day), cell in cells.items()
        ]

    def _activity_counts(self, cell: list[Activity]) -> Row:
        of_runs = [activity for activity in cell if activity.run is not None]
        replies = [activity for activity in of_runs if activity.type == "message.replied"]
        counts: Row = {f"total_{kind}": sum(self._is(kind, a) for a in of_runs) for kind in KINDS}
        counts["replies_pending"] = sum(reply.category is None for reply in replies)
        counts["replies_not_human"] = sum(reply.category in self.not_human for reply in replies)
        counts |= {name: sum(a.type == type_ for a in of_runs) for name, type_ in DAY_ONLY.items()}
        messaged = {a.person for a in of_runs if a.type == "message.sent" and a.person is not None}
        counts["persons_messaged"] = len(messaged)
        counts["orphans"] = len(cell) - len(of_runs)
        counts["other"] = sum(a.type not in KNOWN for a in of_runs)
        return counts

    def _is(self, kind: str, activity: Activity) -> bool:
        if kind == "valid_replies":
            return activity.type == "message.replied" and activity.category not in self.not_human
        if kind == "positive_replies":
            return activity.type == "message.replied" and activity.category in self.positive
        return activity.type == TYPES[kind]

    # sequence_runs

    def histories(self) -> dict[Key, list[Activity]]:
        """Each run's activities, earliest first; one without a sequence goes where the run's only other one is."""
        by_run: dict[str, list[Activity]] = {}
        for activity in sorted(self._everything(), key=lambda a: (a.created_at, a.id)):
            if activity.run is not None:
                by_run.setdefault(activity.run, []).append(activity)
        histories: dict[Key, list[Activity]] = {}
        for run, activities in by_run.items():
            known = {activity.sequence for activity in activities} - {None}
            only = next(iter(known)) if len(known) == 1 else None
            for activity in activities:
                histories.setdefault((activity.sequence or only, run), []).append(activity)
        return histories

    def sequence_runs(self) -> list[Row]:
        histories = self.histories()
        can_tell = any(a.type == "sequence.created" for history in histories.values() for a in history)
        return [self._run_row(key, history, can_tell) for key, history in histories.items()]

    def _run_row(self, key: Key, history: list[Activity], can_tell: bool) -> Row:
        firsts = {column: self._first(history, kind) for kind, column in FIRST_EVER.items()}
        sends = [activity for activity in history if activity.type == "message.sent"]
        started = history[0].created_at
        return {
            "sequence_template_id": _id(key[0]),
            "sequence_id": _id(key[1]),
            "person_id": min((uid(a.person) for a in history if a.person is not None), default=None),
            "left_censored": can_tell and firsts["enrolled_at"] is None and self._may_have_begun_before(started),
            "first_activity_at": started,
            "touched_at": min(filter(None, (firsts["contacted_at"], firsts["first_invitation_at"])), default=None),
            "completed_at": _first_of(history, lambda a: a.type == "sequence.completed"),
            "stopped_at": _first_of(history, lambda a: a.type == "sequence.stopped"),
            "messages_sent": len(sends),
            "emails_sent": sum(a.channel == "EMAIL" for a in sends),
            "linkedin_sent": sum(a.channel == "LINKEDIN" for a in sends),
            "invitations_sent": sum(self._is("invitations", a) for a in history),
            "opens": sum(self._is("opens", a) for a in history),
            "clicks": sum(self._is("clicks", a) for a in history),
            "replies": sum(self._is("replies", a) for a in history),
            **firsts,
            **outcome(
                history,
                lambda a: self._is("valid_replies", a),
                lambda a: self._is("positive_replies", a),
                timedelta(seconds=self.instant_seconds),
            ),
        }

    def _first(self, history: list[Activity], kind: str) -> datetime | None:
        return _first_of(history, lambda activity: self._is(kind, activity))

    def _may_have_begun_before(self, started: datetime) -> bool:
        first_day = min(self.landed)
        return started < self.midnight(first_day + timedelta(days=self.censored_days))

    # sequence_daily

    def sequence_daily(self) -> list[Row]:
        histories = self.histories()
        runs = self.sequence_runs()
        begun: dict[str | None, set[date]] = {}
        for activity in self._everything():
            begun.setdefault(activity.sequence, set()).add(self.day_of(activity.created_at))
        for (sequence, _), history in histories.items():
            begun.setdefault(sequence, set()).add(self.day_of(history[0].created_at))
        return [
            self._daily_row(sequence, day, [run for run in runs if run["sequence_template_id"] == _id(sequence)])
            for sequence, days in begun.items()
            for day in self.landed
            if day >= min(days)
        ]

    def _daily_row(self, sequence: str | None, day: date, runs: list[Row]) -> Row:
        today = [a for a in self.landed[day] if a.run is not None and a.sequence == sequence]
        row: Row = {"sequence_template_id": _id(sequence), "day": day}
        row |= {f"total_{kind}": sum(self._is(kind, a) for a in today) for kind in KINDS}
        whole = [run for run in runs if not run["left_censored"]]
        for kind, column in FIRST_EVER.items():
            row[f"unique_{kind}"] = sum(run[column] is not None and self.day_of(run[column]) == day for run in whole)
        row["active_runs"] = sum(self._is_active_after(day, run) for run in runs)
        row["is_closed"] = day not in self.open_days
        return row

    def _is_active_after(self, day: date, run: Row) -> bool:
        ends = [self.day_of(run[column]) for column in ("completed_at", "stopped_at") if run[column] is not None]
        return self.day_of(run["first_activity_at"]) <= day and not any(end <= day for end in ends)

    # time

    def as_of(self) -> datetime | None:
        closed = self.landed.keys() - self.open_days
        return self.midnight(max(closed) + timedelta(days=1)) if closed else None

    def _everything(self) -> Iterable[Activity]:
        return (activity for activities in self.landed.values() for activity in activities)

    def day_of(self, moment: datetime) -> date:
        return moment.astimezone(ZoneInfo(self.zone)).date()

    def midnight(self, day: date) -> datetime:
        return datetime.combine(day, time.min, ZoneInfo(self.zone)).astimezone(UTC)


def _channel_group(activity: Activity) -> str:
    by_type = {"message.opened": "EMAIL", "message.link_clicked": "EMAIL"}
    channel = activity.channel or by_type.get(activity.type or "")
    if channel is None and (activity.type or "").startswith("invitation."):
        channel = "LINKEDIN"
    if channel is None:
        return "NONE"
    return channel if channel in {"EMAIL", "LINKEDIN", "MANUAL"} else "OTHER"


def _first_of(history: list[Activity], matches: Callable[[Activity], bool]) -> datetime | None:
    return next((activity.created_at for activity in history if matches(activity)), None)


def _id(name: str | None) -> str | None:
    return None if name is None else uid(name)
