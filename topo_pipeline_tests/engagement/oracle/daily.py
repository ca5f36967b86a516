"""`sequence_daily`: sequences by landed day, with days of unusual volume."""

from collections import Counter
from datetime import date
from functools import lru_cache

from topo_pipeline_tests.engagement.oracle.activity import replies_by_class, totals
from topo_pipeline_tests.engagement.oracle.answers import is_instant
from topo_pipeline_tests.engagement.oracle.runs import FIRST_EVER, Run, runs_of
from topo_pipeline_tests.engagement.oracle.volumes import daily_volume
from topo_pipeline_tests.engagement.oracle.world import CLASSES, KINDS, ONE_DAY, Row, World, id_of

# Columns of counts that can be summed over sequences and days.
SUMS = (
    *(f"total_{kind}" for kind in KINDS),
    *(f"unique_{kind}" for kind in KINDS),
    "unique_touched",
    *(f"replies_{name}" for name in CLASSES),
    "opens_instant",
)
UNIQUES = FIRST_EVER | {"touched": "touched_at"}


@lru_cache(maxsize=4)
def sequence_daily(world: World) -> list[Row]:
    begun: dict[str | None, date] = {}
    for activity in world.activities:
        begun.setdefault(world.sequence_of(activity), world.day_of(activity.created_at))
    return [row for sequence, first in begun.items() for row in _rows(world, sequence, first)]


def _rows(world: World, sequence: str | None, first: date) -> list[Row]:
    runs = [run for run in runs_of(world) if run.sequence == sequence]
    firsts = {f"unique_{kind}": _firsts_by_day(world, runs, column) for kind, column in UNIQUES.items()}
    instant = _instant_opens_by_day(world, runs)
    rows = [
        _row(world, sequence, day)
        | {name: by_day[day] for name, by_day in firsts.items()}
        | {"opens_instant": instant[day], "active_runs": sum(_is_active_after(world, run, day) for run in runs)}
        for day in sorted(world.landed)
        if day >= first
    ]
    return [row | daily_volume(world, sequence, row["day"]) for row in rows]


def _row(world: World, sequence: str | None, day: date) -> Row:
    today = [a for a in world.landed[day] if a.run is not None and world.sequence_of(a) == sequence]
    row: Row = {"sequence_template_id": id_of(sequence), "day": day}
    row |= totals(world, today) | replies_by_class(world, today)
    return row | {"is_closed": day not in world.open_days, "is_known": world.is_known(day)}


def _firsts_by_day(world: World, runs: list[Run], column: str) -> Counter[date]:
    """Count the runs whose first ever of a kind falls on each day."""
    moments = [run.row[column] for run in runs if not run.is_left_censored]
    return Counter(world.day_of(moment) for moment in moments if moment is not None)


def _instant_opens_by_day(world: World, runs: list[Run]) -> Counter[date]:
    return Counter(
        world.day_of(activity.created_at)
        for run in runs
        for activity in run.history
        if activity.type == "message.opened" and is_instant(activity, run.history, world)
    )


def _is_active_after(world: World, run: Run, day: date) -> bool:
    """Whether a run had begun and had not ended at the end of a day."""
    end_of_day = world.midnight(day + ONE_DAY)
    ends = (run.row["completed_at"], run.row["stopped_at"])
    return run.history[0].created_at < end_of_day and not any(end is not None and end < end_of_day for end in ends)
