"""`reply_timing`: how fast replies and meetings come, by weekday of the first touch and age in days."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache

from topo_pipeline_tests.engagement.oracle.runs import Run, runs_of
from topo_pipeline_tests.engagement.oracle.world import ONE_DAY, Row, World

OUTCOMES = {"valid_reply": "replies", "positive_reply": "positive replies", "meeting": "meetings"}
WEEKS_LEARNED, NEEDED, NEEDED_OF_WEEKDAY = 26, 60, 10
NINE_DIGITS = Decimal("1e-9")


@dataclass(frozen=True)
class Touch:
    """A contact: the day of its first touch, and the days on which it reached outcomes in its window.

    Attributes:
        sequence: The name of its sequence.
        day: The day of its first touch.
        reached: The day of each outcome.
        is_whole: Whether every day of its windows that is over is known.
    """

    sequence: str | None
    day: date
    reached: dict[str, date]
    is_whole: bool

    def has(self, outcome: str, until: date) -> bool:
        """Whether the outcome came on this day or before it."""
        return outcome in self.reached and self.reached[outcome] <= until


@dataclass(frozen=True)
class Curve:
    """The shares of one outcome that have come by weekday and age, as known at the end of a day."""

    first_day: date
    last_day: date
    window: int
    delays: dict[int, Counter[int]]

    def of_weekday(self, weekday: int) -> int:
        return sum(self.delays[weekday].values())

    @property
    def of_all(self) -> int:
        return sum(self.of_weekday(weekday) for weekday in range(1, 8))

    def is_pooled(self, weekday: int) -> bool:
        return self.of_weekday(weekday) < NEEDED_OF_WEEKDAY

    def by_age(self, weekday: int, age: int) -> int:
        return sum(count for delay, count in self.delays[weekday].items() if delay <= age)

    @property
    def is_learned(self) -> bool:
        return self.of_all >= NEEDED

    def share(self, weekday: int, age: int) -> Decimal | None:
        """Return the share with nine digits."""
        if not self.is_learned:
            return None
        weekdays = range(1, 8) if self.is_pooled(weekday) else [weekday]
        came = sum(self.by_age(each, min(age, self.window)) for each in weekdays)
        total = sum(self.of_weekday(each) for each in weekdays)
        return nine_digits(Decimal(came) / Decimal(total))


def nine_digits(value: Decimal) -> Decimal:
    return value.quantize(NINE_DIGITS, ROUND_HALF_UP)


@lru_cache(maxsize=4)
def touches_of(world: World) -> list[Touch]:
    """Return every contact whose start is certain, first touched by the end of the last known day."""
    found = [_touch(world, run) for run in runs_of(world) if _is_certain(run)]
    return [touch for touch in found if world.last_known is not None and touch.day <= world.last_known]


def _is_certain(run: Run) -> bool:
    row = run.row
    return row["touched_at"] is not None and not run.is_left_censored and not row["start_uncertain"]


def _touch(world: World, run: Run) -> Touch:
    start, window = run.row["touched_at"], world.rules.reply_window_days
    settled = [a.created_at for a in run.valid_replies if world.reply_class(a) != "pending"]
    moments = {
        "valid_reply": run.times("valid_replies"),
        "positive_reply": run.times("positive_replies"),
        "meeting": run.times("meetings"),
        "settled_reply": settled,
    }
    reached = {}
    for outcome, there in moments.items():
        inside = [at for at in there if start <= at <= start + window * timedelta(hours=24)]
        if inside and world.last_known is not None and world.day_of(min(inside)) <= world.last_known:
            reached[outcome] = world.day_of(min(inside))
    day = world.day_of(start)
    return Touch(run.sequence, day, reached, world.unknown_in_windows(day, window) == 0)


@lru_cache(maxsize=256)
def curve(world: World, outcome: str, known_day: date) -> Curve:
    """Return the curve that is learned from the contacts whose windows have closed at the end of a day."""
    window = world.rules.reply_window_days
    last = world.day_of(world.midnight(known_day + ONE_DAY) - window * timedelta(hours=24)) - ONE_DAY
    first = last - (7 * WEEKS_LEARNED - 1) * ONE_DAY
    delays: dict[int, Counter[int]] = {weekday: Counter() for weekday in range(1, 8)}
    for touch in touches_of(world):
        if first <= touch.day <= last and touch.is_whole and outcome in touch.reached:
            delays[touch.day.isoweekday()][min((touch.reached[outcome] - touch.day).days, window)] += 1
    return Curve(first, last, window, delays)


def reply_timing(world: World) -> list[Row]:
    if world.last_known is None:
        return []
    rows = []
    for outcome, plural in OUTCOMES.items():
        learned = curve(world, outcome, world.last_known)
        for weekday in range(1, 8):
            for age in range(world.rules.reply_window_days + 1):
                share = learned.share(weekday, age)
                rows.append(
                    {
                        "outcome": outcome,
                        "weekday": weekday,
                        "age_days": age,
                        "runs_by_age": learned.by_age(weekday, age),
                        "runs_of_weekday": learned.of_weekday(weekday),
                        "runs_of_all": learned.of_all,
                        "is_pooled": learned.is_pooled(weekday),
                        "share": None if share is None else float(share),
                        "first_day": learned.first_day,
                        "last_day": learned.last_day,
                        "reason": None if learned.is_learned else f"needs {NEEDED} {plural}; {learned.of_all} so far",
                    }
                )
    return rows
