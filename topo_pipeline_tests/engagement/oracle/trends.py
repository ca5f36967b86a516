"""`sequence_trends`: sequences by week of the first touch, and the change from the week before."""

from collections.abc import Iterable
from datetime import date

from topo_pipeline_tests.engagement.oracle.cohorts import EARLY, Cohort, cohorts_of, early_rates_over, rates_over
from topo_pipeline_tests.engagement.oracle.rates import COLUMNS, change
from topo_pipeline_tests.engagement.oracle.world import ONE_DAY, Row, World, id_of, monday_of

CHANGE = ("change", "change_low", "change_high", "signal")


def sequence_trends(world: World) -> list[Row]:
    weeks: dict[tuple[str | None, date], list[Cohort]] = {}
    for cohort in cohorts_of(world):
        if cohort.axis == "touched":
            weeks.setdefault((cohort.sequence, monday_of(cohort.day)), []).append(cohort)
    rows = {key: _week(world, *key, cohorts) for key, cohorts in weeks.items()}
    return [row | _change(world, key[0], row, rows.get((key[0], key[1] - 7 * ONE_DAY))) for key, row in rows.items()]


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


def _change(world: World, sequence: str | None, row: Row, before: Row | None) -> Row:
    if before is None:
        return dict.fromkeys(("previous_num", "previous_den", *CHANGE))
    (num, den), (previous_num, previous_den) = _share(row), _share(before)
    found: Row = {"previous_num": previous_num, "previous_den": previous_den, **dict.fromkeys(CHANGE)}
    is_enough = 0 < min(den, previous_den) >= world.rules.evidence_small
    if not is_enough or not row["is_mature"] or not before["is_mature"]:
        return found
    low, high = change((num, den), (previous_num, previous_den))
    signal = "up" if low > 0 else "down" if high < 0 else "no_clear_change"
    difference = num / den - previous_num / previous_den
    found |= {"change": difference, "change_low": low, "change_high": high}
    return found | {"signal": signal if world.is_judged(sequence) else None}


def _share(row: Row) -> tuple[int, int]:
    return row["reply_rate_num"], row["reply_rate_den"]
