"""The summary of each period from its definition: of the days of the period, of the runs that started on them."""

from datetime import date, timedelta
from typing import TYPE_CHECKING

from topo_pipeline_tests.engagement.oracle_cohorts import (
    closed_by,
    last_closed_day,
    last_mature_day,
    message_rates,
    runs_of,
)
from topo_pipeline_tests.engagement.oracle_rates import Row

if TYPE_CHECKING:
    from topo_pipeline_tests.engagement.oracle import Oracle

PERIODS = ("lifetime", "7d", "28d", "90d")


def sequence_summary(oracle: "Oracle") -> list[Row]:
    daily, runs = oracle.sequence_daily(), runs_of(oracle)
    sequences = {row["sequence_template_id"] for row in daily}
    by_period = {
        period: [
            _summary_row(
                oracle,
                period,
                [row for row in daily if row["sequence_template_id"] == sequence],
                [run for run in runs if run["sequence_template_id"] == sequence],
            )
            for sequence in sequences
        ]
        for period in PERIODS
    }
    for rows in by_period.values():
        _rank(rows)
    return [row for rows in by_period.values() for row in rows]


def _rank(rows: list[Row]) -> None:
    bounds = [row["reply_rate_low"] for row in rows if row["eligible"]]
    for row in rows:
        better = sum(bound > row["reply_rate_low"] + 1e-12 for bound in bounds) if row["eligible"] else None
        row["reply_rank"] = None if better is None else better + 1


def _days(oracle: "Oracle", period: str) -> list[date]:
    """The days of a period, landed or not."""
    if period == "lifetime":
        first, last = min(oracle.landed), max(oracle.landed)
        return [first + timedelta(days=n) for n in range((last - first).days + 1)]
    mature = last_mature_day(oracle)
    return [] if mature is None else [mature - timedelta(days=n) for n in reversed(range(int(period.rstrip("d"))))]


def _summary_row(oracle: "Oracle", period: str, daily: list[Row], runs: list[Row]) -> Row:
    days = _days(oracle, period)
    row: Row = {"sequence_template_id": daily[0]["sequence_template_id"], "period": period}
    row |= {"period_start": min(days, default=None), "period_end": max(days, default=None)}
    row |= {"sequence_name": None, "status": None}
    for name in (name for name in daily[0] if name.startswith(("total_", "unique_"))):
        row[name] = sum(of_day[name] for of_day in daily if of_day["day"] in days)
    row |= _states([run for run in runs if oracle.day_of(run["first_activity_at"]) in days])
    contacted = [
        run
        for run in runs
        if run["contacted_at"] and not run["left_censored"] and oracle.day_of(run["contacted_at"]) in days
    ]
    row |= _intensities(contacted)
    row["eligible"] = sum(closed_by(oracle, run, "contacted_at") for run in contacted)
    row["maturity"] = row["eligible"] / len(contacted) if contacted else None
    row |= message_rates(oracle, contacted)
    is_lifetime = period == "lifetime"
    row["is_silent"] = _is_silent(oracle, daily, row["runs_active"] - row["runs_paused"]) if is_lifetime else None
    row["as_of"] = oracle.as_of()
    row["days_missing"] = _days_missing(oracle, days, is_lifetime)
    return row


def _states(runs: list[Row]) -> Row:
    counts = {
        "active": sum(run["completed_at"] is None and run["stopped_at"] is None for run in runs),
        "paused": sum(run["paused"] for run in runs),
        "stopped": sum(run["stopped_at"] is not None for run in runs),
    }
    row: Row = {"runs": len(runs), "runs_left_censored": sum(run["left_censored"] for run in runs)}
    row |= {f"runs_{state}": count for state, count in counts.items()}
    return row | {f"{state}_share": count / len(runs) if runs else None for state, count in counts.items()}


def _intensities(contacted: list[Row]) -> Row:
    messages = sum(run["messages_sent"] for run in contacted)
    touches = [run["touches"] for run in contacted if run["touches"] is not None]
    return {
        "messages_per_contacted_run": messages / len(contacted) if contacted else None,
        "replies_per_message": sum(run["replies"] for run in contacted) / messages if messages else None,
        "touches_to_reply": sum(touches) / len(touches) if touches else None,
    }


def _is_silent(oracle: "Oracle", daily: list[Row], active: int) -> bool | None:
    day = last_closed_day(oracle)
    if day is None:
        return False if active == 0 else None
    lately = [day]
    while sum(d.weekday() < 5 for d in lately) < 3:
        lately.append(lately[-1] - timedelta(days=1))
    if active == 0 or any(row["total_sent"] + row["total_invitations"] for row in daily if row["day"] in lately):
        return False
    return True if all(d in oracle.landed and d not in oracle.open_days for d in lately) else None


def _days_missing(oracle: "Oracle", days: list[date], is_lifetime: bool) -> int | None:
    last = last_closed_day(oracle)
    if is_lifetime:
        return sum(day not in oracle.landed for day in days)
    if last is None:
        return None
    known = (days[0] + timedelta(days=n) for n in range((last - days[0]).days + 1))
    return sum(day not in oracle.landed for day in known)
