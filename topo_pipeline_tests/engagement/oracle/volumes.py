"""`sequence_volumes`: messages sent by week, compared with the weeks before. Also the days that are unusual."""

from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from math import sqrt
from statistics import mean, median, variance

from topo_pipeline_tests.engagement.helpers import Activity
from topo_pipeline_tests.engagement.oracle.world import ONE_DAY, Row, World, days, id_of, monday_of

WEEK = 7 * ONE_DAY
SATURDAY = 5


def sequence_volumes(world: World) -> list[Row]:
    everything = messages_of(world, "workspace")
    silent_days = [day for day in world.landed if everything.silence(day)]
    named = {sequence for a in world.activities if (sequence := world.sequence_of(a)) is not None}
    every = [everything, *(messages_of(world, "sequence", sequence) for sequence in named)]
    return [row for sent in every for row in _weeks(sent, silent_days)]


@dataclass(frozen=True)
class Sent:
    """The messages of a sequence, or of the whole workspace, by day."""

    world: World
    scope: str
    sequence: str | None

    @cached_property
    def first_day(self) -> date:
        """The first landed day of the workspace, or the first on which the sequence has an activity."""
        if self.scope == "workspace":
            return self.world.first_landed
        return min(
            self.world.day_of(activity.created_at) for activity in self.world.activities if self._is_of(activity)
        )

    @cached_property
    def counts(self) -> dict[date, int]:
        return {day: sum(self._is_message(a) for a in there) for day, there in self.world.landed.items()}

    def _is_of(self, activity: Activity) -> bool:
        return self.scope == "workspace" or self.world.sequence_of(activity) == self.sequence

    def _is_message(self, activity: Activity) -> bool:
        return activity.type == "message.sent" and activity.run is not None and self._is_of(activity)

    def on_weekday_before(self, day: date) -> list[date]:
        """Return the known days on the same weekday in the eight weeks before."""
        before = [day - weeks * WEEK for weeks in range(1, 9)]
        return [each for each in before if each >= self.first_day and self.world.is_known(each)]

    def silence(self, day: date) -> bool | None:
        """Whether the workspace sent nothing on a day on which it usually sends ten messages or more."""
        expected = self.expected(self.on_weekday_before(day))
        if expected is None or not self.world.is_known(day):
            return None
        return self.counts[day] == 0 and expected >= 10

    def expected(self, before: list[date]) -> float | None:
        return float(median(self.counts[each] for each in before)) if len(before) >= 4 else None


@lru_cache(maxsize=64)
def messages_of(world: World, scope: str, sequence: str | None = None) -> Sent:
    return Sent(world, scope, sequence)


def daily_volume(world: World, sequence: str | None, day: date) -> Row:
    """Return the columns of `sequence_daily` on unusual days."""
    everything, sent = messages_of(world, "workspace"), messages_of(world, "sequence", sequence)
    usual = [each for each in sent.on_weekday_before(day) if everything.counts[each] > 0]
    counts = [sent.counts[each] for each in usual]
    is_judged = world.is_judged(sequence) and world.is_known(day) and len(usual) >= 6
    is_steady = is_judged and min(counts) >= 3 and median(counts) >= 10
    stopped = sent.counts[day] == 0 and everything.counts[day] > 0
    return {"sent_expected": sent.expected(usual), "is_volume_anomaly": is_steady and stopped if is_judged else None}


def workspace_volume(world: World, day: date) -> Row:
    """Return the columns of `workspace_daily` on unusual days."""
    everything = messages_of(world, "workspace")
    expected = everything.expected(everything.on_weekday_before(day))
    return {"sent_expected": expected, "is_volume_anomaly": everything.silence(day)}


@dataclass(frozen=True)
class Week:
    monday: date
    total: int
    weekdays: list[int]
    unknown: int
    silent: int

    @property
    def is_full(self) -> bool:
        return self.unknown == 0 and self.silent == 0


def _weeks(sent: Sent, silent_days: list[date]) -> list[Row]:
    last = sent.world.last_known
    if last is None:
        return []
    mondays = [day for day in days(monday_of(sent.first_day), last) if day.weekday() == 0 and day + 6 * ONE_DAY <= last]
    weeks = [_week(sent, monday, silent_days) for monday in mondays]
    return [_row(sent, week, weeks[:number]) for number, week in enumerate(weeks)]


def _week(sent: Sent, monday: date, silent_days: list[date]) -> Week:
    inside = [monday + number * ONE_DAY for number in range(7)]
    counts = {day: sent.counts[day] for day in inside if day in sent.counts}
    unknown = sum(day in sent.world.unknown_days for day in inside)
    weekdays = [count for day, count in counts.items() if day.weekday() < SATURDAY]
    return Week(monday, sum(counts.values()), weekdays, unknown, sum(day in silent_days for day in inside))


def _row(sent: Sent, week: Week, earlier: list[Week]) -> Row:
    # The first week may have begun before the sequence did.
    complete = [each for each in earlier if each.monday >= sent.first_day]
    full = [each for each in complete[-8:] if each.is_full]
    row: Row = {
        "scope": sent.scope,
        "sequence_template_id": id_of(sent.sequence),
        "week_start": week.monday,
        "total_sent": week.total,
        "days_unknown": week.unknown,
        "days_silent": week.silent,
        "weeks_before": len(complete),
        "full_weeks": len(full),
        "not_judged": _why_not(sent, week, len(complete), len(full)),
        **dict.fromkeys(("sent_usual", "phi", "threshold", "volume_signal")),
    }
    if len(complete) < 8 or len(full) < 6:
        return row
    usual = sum(each.total for each in full[-4:]) / 4
    phi = max(1.0, _phi_of_days(full), _phi_of_weeks(full))
    threshold = max(3.5 * phi * sqrt(1.25 * usual), 10, 0.35 * usual)
    signal = "as_usual" if abs(week.total - usual) < threshold else "up" if week.total > usual else "down"
    row |= {"sent_usual": usual, "phi": phi, "threshold": threshold}
    return row | {"volume_signal": None if row["not_judged"] else signal}


def _phi_of_days(full: list[Week]) -> float:
    counts = [count for week in full for count in week.weekdays]
    middle = median(counts)
    return 1.59 * median(abs(count - middle) for count in counts) / sqrt(max(middle, 1))


def _phi_of_weeks(full: list[Week]) -> float:
    totals = [week.total for week in full]
    phi = sqrt(variance(totals) / max(mean(totals), 1))
    return 1.7 * phi if phi >= 1.8 else phi


def _why_not(sent: Sent, week: Week, complete: int, full: int) -> str | None:
    if sent.scope == "sequence" and not sent.world.is_judged(sent.sequence):
        return "not active"
    if week.unknown:
        return f"{_days(week.unknown)} unknown"
    if sent.scope == "sequence" and week.silent:
        return f"the whole workspace sent nothing on {_days(week.silent)}"
    if complete < 8:
        return f"needs 8 weeks; {complete} so far"
    return f"needs 6 full weeks among the 8 before; has {full}" if full < 6 else None


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number} days"
