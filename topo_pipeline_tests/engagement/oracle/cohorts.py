"""`sequence_cohorts`: runs by the day on which they started, and what came within the windows of their starts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property, lru_cache

from topo_pipeline_tests.engagement.oracle.rates import no_rates, quantile, rate, ratio
from topo_pipeline_tests.engagement.oracle.runs import OUTCOMES, Run, hours, runs_of
from topo_pipeline_tests.engagement.oracle.world import Row, World, id_of

START_OF = {"touched": "touched_at", "sent": "contacted_at", "enrolled": "enrolled_at"}
EARLY = (3, 7, 14)
# Over eligible runs: which activities have to come in the window.
OVER_ELIGIBLE = {
    "reply_rate": "valid_replies",
    "reply_rate_all": "replies",
    "positive_reply_rate": "positive_replies",
    "hot_lead_rate": "hot_leads",
    "meeting_rate": "meetings",
}
# Over the runs to which something happened in the window.
OVER_OUTCOMES = ("positive_share_of_replies", "classification_coverage", "reply_to_meeting_rate")
RATES = (*OVER_ELIGIBLE, *OVER_OUTCOMES)
# Over eligible runs of axis enrolled.
OVER_ENROLLED = {
    "contact_rate": "message.sent",
    "completion_rate": "sequence.completed",
    "stop_rate": "sequence.stopped",
}
EARLY_RATES = ("reply_rate", "positive_reply_rate")
TO_DATE = {
    "replies_to_date": ("reply_rate_to_date", "valid_replies"),
    "positive_replies_to_date": ("positive_reply_rate_to_date", "positive_replies"),
    "hot_leads_to_date": ("hot_lead_rate_to_date", "hot_leads"),
    "meetings_to_date": ("meeting_rate_to_date", "meetings"),
}


@dataclass(frozen=True, eq=False)
class Member:
    """A run and its start on one axis."""

    run: Run
    start: datetime

    def is_in_window(self, moment: datetime, length: int) -> bool:
        return self.start <= moment <= self.start + length * timedelta(hours=24)

    def _inside(self, moments: Iterable[datetime], length: int) -> list[datetime]:
        return [moment for moment in moments if self.is_in_window(moment, length)]

    def has(self, kind: str, length: int) -> bool:
        """Whether some activity of a kind came within this many days of the start."""
        return bool(self._inside(self.run.times(kind), length))

    def has_type(self, type_: str, length: int) -> bool:
        return bool(self._inside(self.run.times_of(type_), length))

    def is_classified(self, length: int) -> bool:
        return bool(self._inside([a.created_at for a in self.run.classified_replies], length))

    def has_meeting_after_reply(self, length: int) -> bool:
        replies = self._inside(self.run.times("valid_replies"), length)
        meetings = self._inside(self.run.times("meetings"), length)
        return bool(replies) and any(meeting >= min(replies) for meeting in meetings)

    def has_to_date(self, kind: str) -> bool:
        return any(moment >= self.start for moment in self.run.times(kind))

    @property
    def hours_to_reply(self) -> float:
        """Hours from the start to the first valid reply at or after it."""
        return hours(min(at for at in self.run.times("valid_replies") if at >= self.start) - self.start)


@dataclass(frozen=True, eq=False)
class Cohort:
    """The runs of a sequence that started on a day of an axis."""

    world: World
    sequence: str | None
    day: date
    axis: str
    started: list[Member]
    members: list[Member]
    start_uncertain: int
    replied_before_message: int | None

    @property
    def days_unknown(self) -> int:
        return self.world.unknown_in_windows(self.day, self.world.rules.reply_window_days)

    @property
    def eligible(self) -> list[Member]:
        """Members whose outcome window has closed, whatever is unknown of it."""
        return [m for m in self.members if self.world.has_closed(m.start, self.world.rules.reply_window_days)]

    @property
    def is_over(self) -> bool:
        """Whether the outcome windows of all runs that started on the day have closed, even of those in no rate."""
        return all(self.world.has_closed(m.start, self.world.rules.reply_window_days) for m in self.started)

    def early(self, length: int) -> list[Member]:
        """Members whose early window has closed; none if a day of these windows is unknown."""
        if self.world.unknown_in_windows(self.day, length):
            return []
        return [member for member in self.members if self.world.has_closed(member.start, length)]

    @cached_property
    def row(self) -> Row:
        """The row of sequence_cohorts."""
        eligible, members = self.eligible, self.members
        row: Row = {"sequence_template_id": id_of(self.sequence), "cohort_day": self.day, "axis": self.axis}
        row |= {
            "members": len(members),
            "start_uncertain": self.start_uncertain,
            "replied_before_message": self.replied_before_message,
            "eligible": len(eligible),
            "maturity": ratio(len(eligible), len(members)),
            "days_unknown": self.days_unknown,
            "is_mature": self.is_over and self.days_unknown == 0,
        }
        for length in EARLY:
            early = self.early(length)
            row[f"eligible_{length}d"] = len(early)
            for name in EARLY_RATES:
                kind = OVER_ELIGIBLE[name]
                row[f"{name.removesuffix('_rate')}_{length}d_num"] = sum(m.has(kind, length) for m in early)
        row |= cohort_rates(self.world, eligible)
        row |= _enrolled_rates(self.world, eligible) if self.axis == "enrolled" else no_rates(OVER_ENROLLED)
        row |= _hours_to_reply(self.world, eligible)
        row |= outcomes(eligible) if self.axis == "touched" else dict.fromkeys(map("outcome_{}".format, OUTCOMES))
        for count, (name, kind) in TO_DATE.items():
            row[count] = sum(member.has_to_date(kind) for member in members)
            row[name] = ratio(row[count], len(members))
        return row


def cohort_rates(world: World, eligible: list[Member]) -> Row:
    """Return the eight rates over these runs."""
    length = world.rules.reply_window_days

    def count(has: Callable[[Member], bool]) -> int:
        return sum(map(has, eligible))

    row: Row = {}
    for name, kind in OVER_ELIGIBLE.items():
        row |= rate(name, sum(member.has(kind, length) for member in eligible), len(eligible), world.rules)
    valid = count(lambda member: member.has("valid_replies", length))
    classified = count(lambda member: member.is_classified(length))
    positive = count(lambda member: member.has("positive_replies", length))
    met = count(lambda member: member.has_meeting_after_reply(length))
    row |= rate("positive_share_of_replies", positive, classified, world.rules)
    row |= rate("classification_coverage", classified, valid, world.rules)
    return row | rate("reply_to_meeting_rate", met, valid, world.rules)


def outcomes(members: Iterable[Member]) -> Row:
    """Count runs by what they came to."""
    found = [member.run.row["outcome"] for member in members]
    return {f"outcome_{name}": found.count(name) for name in OUTCOMES}


def repliers(world: World, members: Iterable[Member]) -> list[Member]:
    return [member for member in members if member.has("valid_replies", world.rules.reply_window_days)]


def _enrolled_rates(world: World, eligible: list[Member]) -> Row:
    row: Row = {}
    for name, type_ in OVER_ENROLLED.items():
        happened = sum(member.has_type(type_, world.rules.reply_window_days) for member in eligible)
        row |= rate(name, happened, len(eligible), world.rules)
    return row


def _hours_to_reply(world: World, eligible: list[Member]) -> Row:
    found = [member.hours_to_reply for member in repliers(world, eligible)]
    is_enough = 0 < len(found) >= world.rules.quantile_repliers
    return {
        "median_hours_to_first_reply": quantile(found, 0.5) if is_enough else None,
        "p90_hours_to_first_reply": quantile(found, 0.9) if is_enough else None,
    }


@lru_cache(maxsize=4)
def cohorts_of(world: World) -> list[Cohort]:
    """Return every cohort."""
    started: dict[tuple[str | None, date, str], list[Member]] = {}
    for run in runs_of(world):
        for axis, column in START_OF.items():
            start = run.row[column]
            if start is not None and not run.is_left_censored:
                started.setdefault((run.sequence, world.day_of(start), axis), []).append(Member(run, start))
    return [_cohort(world, *key, members) for key, members in started.items()]


def _cohort(world: World, sequence: str | None, day: date, axis: str, started: list[Member]) -> Cohort:
    uncertain = [m for m in started if m.run.row["start_uncertain"]] if axis != "enrolled" else []
    certain = [member for member in started if member not in uncertain]
    early = [m for m in certain if any(at < m.start for at in m.run.times("valid_replies"))] if axis == "sent" else []
    return Cohort(
        world,
        sequence,
        day,
        axis,
        started=started,
        members=[member for member in certain if member not in early],
        start_uncertain=len(uncertain),
        replied_before_message=len(early) if axis == "sent" else None,
    )


def sequence_cohorts(world: World) -> list[Row]:
    return [cohort.row for cohort in cohorts_of(world)]


def rates_over(world: World, cohorts: Iterable[Cohort]) -> Row:
    """Return the eight rates over the eligible runs of the cohorts whose windows have no unknown day."""
    return cohort_rates(world, [member for cohort in cohorts if not cohort.days_unknown for member in cohort.eligible])


def early_rates_over(world: World, cohorts: Iterable[Cohort], length: int) -> Row:
    """Return the rates of replies and positive replies in the early windows of these cohorts."""
    found = [member for cohort in cohorts for member in cohort.early(length)]
    row: Row = {}
    for name in EARLY_RATES:
        num = sum(member.has(OVER_ELIGIBLE[name], length) for member in found)
        row |= rate(f"{name}_{length}d", num, len(found), world.rules)
    return row
