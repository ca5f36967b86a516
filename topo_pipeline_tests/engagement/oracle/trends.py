"""`sequence_trends`: sequences by week of the first touch."""

from collections.abc import Iterable
from datetime import date

from topo_pipeline_tests.engagement.oracle.cohorts import EARLY, Cohort, cohorts_of, early_rates_over, rates_over
from topo_pipeline_tests.engagement.oracle.rates import COLUMNS
from topo_pipeline_tests.engagement.oracle.world import ONE_DAY, Row, World, id_of, monday_of


def sequence_trends(world: World) -> list[Row]:
    weeks: dict[tuple[str | None, date], list[Cohort]] = {}
    for cohort in cohorts_of(world):
        if cohort.axis == "touched":
            weeks.setdefault((cohort.sequence, monday_of(cohort.day)), []).append(cohort)
    return [_week(world, *key, cohorts) for key, cohorts in weeks.items()]


def _week(world: World, sequence: str | None, monday: date, cohorts: list[Cohort]) -> Row:
    rates = rates_over(world, cohorts)
    row: Row = {"sequence_template_id": id_of(sequence), "week_start": monday}
    row |= maturity_of_week(world, monday, cohorts)
    row |= {f"reply_rate{column}": rates[f"reply_rate{column}"] for column in COLUMNS}
    for length in EARLY:
        row |= early_rates_over(world, cohorts, length)
    return row


def maturity_of_week(world: World, monday: date, cohorts: Iterable[Cohort]) -> Row:
    """Return the columns that say how much of a week is known. `eligible` is that of the rates."""
    there = list(cohorts)
    unknown = sum(monday <= day <= monday + 6 * ONE_DAY for day in world.unknown_days)
    closed = world.closed_day(world.rules.reply_window_days)
    is_closed = closed is not None and monday + 6 * ONE_DAY <= closed
    return {
        "members": sum(len(cohort.members) for cohort in there),
        "eligible": sum(len(cohort.eligible) for cohort in there if not cohort.days_unknown),
        "days_unknown": unknown,
        "is_mature": is_closed and unknown == 0 and all(cohort.row["is_mature"] for cohort in there),
    }
