"""Changes from week to week, and days of unusual volume, from their definitions."""

import statistics
from datetime import date, timedelta
from typing import TYPE_CHECKING

from topo_pipeline_tests.engagement.oracle_cohorts import last_mature_day, sequence_cohorts
from topo_pipeline_tests.engagement.oracle_rates import Row, change, rate

if TYPE_CHECKING:
    from topo_pipeline_tests.engagement.oracle import Oracle

WEEK = timedelta(days=7)


def sequence_trends(oracle: "Oracle") -> list[Row]:
    mature = last_mature_day(oracle)
    weeks: dict[tuple[str | None, date], list[Row]] = {}
    for cohort in sequence_cohorts(oracle):
        monday = cohort["cohort_day"] - timedelta(days=cohort["cohort_day"].weekday())
        if cohort["axis"] == "sent" and mature is not None and monday + timedelta(days=6) <= mature:
            weeks.setdefault((cohort["sequence_template_id"], monday), []).append(cohort)
    return [
        _trend(sequence, monday, cohorts, weeks.get((sequence, monday - WEEK)))
        for (sequence, monday), cohorts in weeks.items()
    ]


def _trend(sequence: str | None, monday: date, cohorts: list[Row], before: list[Row] | None) -> Row:
    now, previous = _share(cohorts), _share(before) if before is not None else (None, None)
    row: Row = {"sequence_template_id": sequence, "week_start": monday}
    row |= {"members": sum(c["members"] for c in cohorts), "is_mature": all(c["is_mature"] for c in cohorts)}
    row |= rate("reply_rate", *now) | {"previous_num": previous[0], "previous_den": previous[1]}
    row |= dict.fromkeys(("change", "change_low", "change_high", "signal"))
    if before is None or not all(c["is_mature"] for c in cohorts + before) or min(now[1], previous[1] or 0) < 30:
        return row
    then = _share(before)
    low, high = change(now, then)
    signal = "up" if low > 0 else "down" if high < 0 else "no_clear_change"
    difference = now[0] / now[1] - then[0] / then[1]
    return row | {"change": difference, "change_low": low, "change_high": high, "signal": signal}


def _share(cohorts: list[Row]) -> tuple[int, int]:
    return sum(c["reply_rate_num"] for c in cohorts), sum(c["reply_rate_den"] for c in cohorts)


def with_volumes(daily: list[Row]) -> list[Row]:
    """The daily rows, each held against the same weekday of the eight weeks before it."""
    closed = {(row["sequence_template_id"], row["day"]): row["total_sent"] for row in daily if row["is_closed"]}
    return [row | _volume(row, closed) for row in daily]


def _volume(row: Row, closed: dict[tuple[str | None, date], int]) -> Row:
    before = [(row["sequence_template_id"], row["day"] - weeks * WEEK) for weeks in range(1, 9)]
    usual = [closed[key] for key in before if key in closed]
    if len(usual) < 4:
        return {"sent_expected": None, "sent_deviation": None, "is_volume_anomaly": None}
    expected = statistics.median(usual)
    spread = statistics.median(abs(count - expected) for count in usual)
    deviation = (row["total_sent"] - expected) / spread if spread else None
    unusual = None if deviation is None or not row["is_closed"] else abs(deviation) >= 3
    return {"sent_expected": float(expected), "sent_deviation": deviation, "is_volume_anomaly": unusual}
