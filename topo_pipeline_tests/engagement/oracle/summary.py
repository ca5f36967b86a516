"""`sequence_summary`: sequences by period."""

from datetime import date
from itertools import pairwise

from topo_pipeline_tests.engagement.oracle.cohorts import (
    EARLY,
    Cohort,
    Member,
    cohort_rates,
    cohorts_of,
    early_rates_over,
    outcomes,
    repliers,
)
from topo_pipeline_tests.engagement.oracle.daily import SUMS, sequence_daily
from topo_pipeline_tests.engagement.oracle.rates import quantile, rate, ratio
from topo_pipeline_tests.engagement.oracle.runs import Run, runs_of
from topo_pipeline_tests.engagement.oracle.shrinkage import added_contacts, shrunken
from topo_pipeline_tests.engagement.oracle.world import ONE_DAY, PERIODS, Row, World, days, id_of


def sequence_summary(world: World) -> list[Row]:
    sequences = {world.sequence_of(activity) for activity in world.activities}
    return [row for period in PERIODS for row in _ranked(world, {s: _row(world, s, period) for s in sequences})]


def _ranked(world: World, rows: dict[str | None, Row]) -> list[Row]:
    """Add the columns of the rank to the rows of one period."""
    rates = {
        s: (row["reply_rate_num"], row["reply_rate_den"]) for s, row in rows.items() if s and row["reply_rate_den"]
    }
    mean, added = added_contacts([*rates.values()]) if rates else (0.0, 0.0)
    values = {sequence: shrunken(*share, mean, added) for sequence, share in rates.items()}
    ranked = {
        sequence: value
        for sequence, value in values.items()
        if rows[sequence]["reply_rate_evidence"] in ("directional", "usable") and world.is_judged(sequence)
    }
    for sequence, row in rows.items():
        better = [value for value in ranked.values() if sequence in ranked and value > ranked[sequence] + 1e-12]
        row["reply_rate_shrunken"] = values.get(sequence or "")
        row["reply_rate_contacts_added"] = added if sequence in values else None
        row["reply_rank"] = len(better) + 1 if sequence in ranked else None
    return list(rows.values())


def _row(world: World, sequence: str | None, period: str) -> Row:
    is_lifetime = period == "lifetime"
    daily = [row for row in sequence_daily(world) if row["sequence_template_id"] == id_of(sequence)]
    runs = [run for run in runs_of(world) if run.sequence == sequence]
    row: Row = {"sequence_template_id": id_of(sequence), "period": period, "as_of": world.as_of}
    row |= {"sequence_name": world.names.get(sequence) if sequence else None, "status": world.status(sequence)}
    row |= _period(world, period)

    def is_inside(day: date) -> bool:
        return world.is_in_period(day, period, world.last_known)

    for name in SUMS:
        row[name] = sum(of_day[name] for of_day in daily if is_inside(of_day["day"]))
    row |= _states([run for run in runs if is_inside(world.day_of(run.history[0].created_at))])
    contacted = [run for run in runs if _is_contacted(run)]
    row |= _intensities([run for run in contacted if is_inside(world.day_of(run.row["contacted_at"]))])
    row["messages_per_positive_reply"] = ratio(row["total_sent"], row["total_positive_replies"])
    row |= _outcomes(world, sequence, period)
    row["is_silent"] = _is_silent(world, sequence, daily, runs) if is_lifetime else None
    return row


def _period(world: World, period: str) -> Row:
    """The days whose activities are counted, and the days whose cohorts are in the rates."""
    last = world.closed_day(world.rules.reply_window_days)
    counted, rated = world.last_days(period, world.last_known), world.last_days(period, last)
    if period == "lifetime":
        counted, rated = (world.first_landed, max(world.landed)), (world.first_landed, last)
    return {
        "period_start": counted[0],
        "period_end": counted[1],
        "rate_period_start": rated[0],
        "rate_period_end": rated[1],
        "days_unknown": sum(day in world.unknown_days for day in _landed_days(world, *counted)),
        "cohort_days_left_out": sum(
            world.unknown_in_windows(day, world.rules.reply_window_days) > 0 for day in _landed_days(world, *rated)
        ),
    }


def _landed_days(world: World, first: date | None, last: date | None) -> list[date]:
    """Return the days between these two, from the first landed day."""
    return [] if first is None or last is None else list(days(max(first, world.first_landed), last))


def _is_contacted(run: Run) -> bool:
    return run.row["contacted_at"] is not None and not run.is_left_censored


def _states(runs: list[Run]) -> Row:
    counts = {
        "active": sum(not run.has_ended for run in runs),
        "paused": sum(run.row["is_paused"] for run in runs),
        "stopped": sum(run.row["stopped_at"] is not None for run in runs),
    }
    row: Row = {f"runs_{state}": count for state, count in counts.items()}
    row |= {f"{state}_share": ratio(count, len(runs)) for state, count in counts.items()}
    return row | {
        "runs": len(runs),
        "runs_left_censored": sum(run.is_left_censored for run in runs),
        "runs_start_uncertain": sum(run.row["start_uncertain"] for run in runs),
        "persons": len({run.row["person_id"] for run in runs} - {None}),
    }


def _intensities(contacted: list[Run]) -> Row:
    messages = sum(run.row["messages_sent"] for run in contacted)
    touches = [run.row["touches_before_reply"] for run in contacted if run.valid_replies]
    return {
        "messages_per_contacted_run": ratio(messages, len(contacted)),
        "replies_per_message": ratio(sum(run.row["replies"] for run in contacted), messages),
        "touches_to_reply": ratio(sum(touches), len(touches)),
    }


def _outcomes(world: World, sequence: str | None, period: str) -> Row:
    """The columns that cohorts add up to."""

    def cohorts(axis: str, length: int) -> list[Cohort]:
        last = world.closed_day(length)
        mine = [cohort for cohort in cohorts_of(world) if (cohort.sequence, cohort.axis) == (sequence, axis)]
        return [cohort for cohort in mine if world.is_in_period(cohort.day, period, last)]

    window = world.rules.reply_window_days
    touched = cohorts("touched", window)
    eligible = [member for cohort in touched if not cohort.days_unknown for member in cohort.eligible]
    sent = [cohort for cohort in cohorts("sent", window) if not cohort.days_unknown]
    messaged = cohort_rates(world, [member for cohort in sent for member in cohort.eligible])
    members = sum(len(cohort.members) for cohort in touched)
    row: Row = {"members": members, "eligible": len(eligible), "maturity": ratio(len(eligible), members)}
    row |= cohort_rates(world, eligible)
    row |= rate("message_reply_rate", messaged["reply_rate_num"], messaged["reply_rate_den"], world.rules)
    row["replied_before_message"] = sum(cohort.replied_before_message or 0 for cohort in sent)
    for length in EARLY:
        row |= early_rates_over(world, cohorts("touched", length), length)
    row["contacts_per_meeting"] = ratio(row["meeting_rate_den"], row["meeting_rate_num"])
    row["median_hours_to_reply"] = _median_hours(world, repliers(world, eligible))
    return row | outcomes(eligible)


def _median_hours(world: World, found: list[Member]) -> float | None:
    is_enough = 0 < len(found) >= world.rules.quantile_repliers
    return quantile([member.hours_to_reply for member in found], 0.5) if is_enough else None


def _is_silent(world: World, sequence: str | None, daily: list[Row], runs: list[Run]) -> bool | None:
    """Whether the sequence has runs to work on and sent nothing on the last business days and in its usual pause."""
    waiting = sum(not run.has_ended and not run.row["is_paused"] for run in runs)
    if not world.is_judged(sequence) or waiting == 0:
        return False
    if world.last_known is None:
        return None
    lately = [world.last_known]
    while sum(day.weekday() < 5 for day in lately) < world.rules.silent_business_days:
        lately.append(lately[-1] - ONE_DAY)
    sends = sorted(row["day"] for row in daily if row["total_sent"] + row["total_invitations"])
    sends = [day for day in sends if day <= world.last_known]
    recent = [pair for pair in pairwise(sends) if world.last_known - pair[1] < 56 * ONE_DAY]
    pauses = [later - day for day, later in recent if all(map(world.is_known, days(day, later)))]
    usual = [pause for pause in pauses if 10 * sum(other <= pause for other in pauses) >= 9 * len(pauses)]
    while len(lately) * ONE_DAY < min(usual, default=ONE_DAY):
        lately.append(lately[-1] - ONE_DAY)
    if any(day in lately for day in sends):
        return False
    return True if all(world.is_known(day) for day in lately) else None
