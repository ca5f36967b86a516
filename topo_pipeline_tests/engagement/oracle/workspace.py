"""`workspace_daily` and `workspace_weekly`: all sequences together."""

from datetime import date

from topo_pipeline_tests.engagement.oracle.cohorts import (
    EARLY,
    Cohort,
    cohort_rates,
    cohorts_of,
    early_rates_over,
    rates_over,
)
from topo_pipeline_tests.engagement.oracle.daily import SUMS, sequence_daily
from topo_pipeline_tests.engagement.oracle.rates import ratio
from topo_pipeline_tests.engagement.oracle.trends import maturity_of_week
from topo_pipeline_tests.engagement.oracle.volumes import workspace_volume
from topo_pipeline_tests.engagement.oracle.world import ONE_DAY, Row, World, monday_of


def workspace_daily(world: World) -> list[Row]:
    return [_day(world, day) for day in sorted(world.landed)]


def workspace_weekly(world: World) -> list[Row]:
    return [_week(world, monday) for monday in sorted({monday_of(day) for day in world.landed})]


def _touched(world: World) -> list[Cohort]:
    return [cohort for cohort in cohorts_of(world) if cohort.axis == "touched"]


def _day(world: World, day: date) -> Row:
    daily = [row for row in sequence_daily(world) if row["day"] == day]
    cohorts = [cohort for cohort in _touched(world) if cohort.day == day]
    members = sum(len(cohort.members) for cohort in cohorts)
    eligible = [member for cohort in cohorts if not cohort.days_unknown for member in cohort.eligible]
    last = world.closed_day(world.rules.reply_window_days)
    unknown = world.unknown_in_windows(day, world.rules.reply_window_days)
    row: Row = {"day": day, "is_closed": day not in world.open_days, "is_known": world.is_known(day)}
    row |= {name: sum(of_sequence[name] for of_sequence in daily) for name in (*SUMS, "active_runs")}
    row |= {
        "members": members,
        "eligible": len(eligible),
        "maturity": ratio(len(eligible), members),
        "days_unknown": unknown,
        "is_mature": last is not None and day <= last and unknown == 0,
    }
    row |= cohort_rates(world, eligible) | workspace_volume(world, day)
    for length in EARLY:
        row |= early_rates_over(world, cohorts, length)
    return row


def _week(world: World, monday: date) -> Row:
    daily = [row for row in sequence_daily(world) if monday_of(row["day"]) == monday]
    cohorts = [cohort for cohort in _touched(world) if monday_of(cohort.day) == monday]
    row: Row = {"week_start": monday, "days_landed": sum(monday_of(day) == monday for day in world.landed)}
    row |= {name: sum(of_day[name] for of_day in daily) for name in SUMS}
    row |= maturity_of_week(world, monday, cohorts) | rates_over(world, cohorts)
    last = world.closed_day(world.rules.reply_window_days)
    row["windows_closed"] = last is not None and monday + 6 * ONE_DAY <= last
    for length in EARLY:
        row |= early_rates_over(world, cohorts, length)
    return row
