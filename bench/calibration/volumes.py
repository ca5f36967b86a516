"""Unusual volumes in simulated workspaces: how often steady sequences are flagged, and true events noticed.

Every sequence sends on Mondays to Fridays for 26 weeks. The counts of the days are written to
`engagement.sequence_activity`, and the project's own SQL makes the tables.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.calibration.figures import Figure, share, times
from bench.calibration.worlds import LOADS
from topo_pipeline.engagement.building import build
from topo_pipeline.engagement.tables import tables
from topo_pipeline.warehouse.connection import Warehouse

Counts = npt.NDArray[Any]  # one row per sequence, one column per day

FIRST_DAY = date(2026, 1, 5)  # a Monday
WEEKS = 26
MEANS = (2, 5, 10, 12, 15, 20, 30, 60, 100)  # messages on a day
HOLIDAYS = (*range(84, 98), 73, 119, 144)  # two weeks, a Thursday, a Monday and a Friday, as days from the first
HALVED = 30  # mean of the sequences whose last week is halved, twenty times as many
EACH = 100  # sequences of each kind and mean
NOW = datetime(2026, 12, 1, tzinfo=UTC)
MADE_OF = ("sequence_activity", "sequence_runs", "sequence_cohorts")
BUILT = ("sequence_daily", "workspace_daily", "sequence_volumes")
MISSED = {
    "day": "they send nothing on some days by chance; a larger minimum would not notice that a small sequence stops",
    "week": "eight weeks show only roughly how much the weeks vary; a wider limit would notice fewer halved weeks",
}
_WEEKDAYS = np.arange(7 * WEEKS) % 7 < 5


def _steady(means: Counts, _: np.random.Generator) -> Counts:
    return means


def _varying_by(share: float) -> Callable[[Counts, np.random.Generator], Counts]:
    return lambda means, chance: means * chance.gamma(1 / share**2, share**2, means.shape)


def _by_weekday(means: Counts, _: np.random.Generator) -> Counts:
    return means * np.tile([1.3, 1.2, 1, 0.9, 0.6, 0, 0], WEEKS)


def _growing(means: Counts, _: np.random.Generator) -> Counts:
    return means * 1.02 ** (np.arange(7 * WEEKS) // 7)


def _varying_weeks(means: Counts, chance: np.random.Generator) -> Counts:
    return means * np.repeat(chance.gamma(1 / 0.15**2, 0.15**2, (len(means), WEEKS)), 7, axis=1)


def _mondays_only(means: Counts, chance: np.random.Generator) -> Counts:
    is_monday = np.arange(7 * WEEKS) % 7 == 0
    return means * 5 * is_monday * chance.gamma(1 / 0.3**2, 0.3**2, means.shape)


STEADY: dict[str, Callable[[Counts, np.random.Generator], Counts]] = {
    "steady": _steady,
    "days that vary by 30%": _varying_by(0.3),
    "days that vary by 50%": _varying_by(0.5),
    "a weekday pattern": _by_weekday,
    "growth of 2% a week": _growing,
    "weeks that vary by 15%": _varying_weeks,
    "batches on Mondays, varying by 30%": _mondays_only,
}


def simulate(chance: np.random.Generator, each: int, wanted: Sequence[int], holidays: tuple[int, ...]) -> pd.DataFrame:
    """Return the messages of `each` sequences of every kind and wanted mean.

    Returns:
        kind, mean, nth (the sequence's number), day (from the first), sent, is_event (whether the day, or a day of the
        week, is one of the true events of "halved" and "stopped").
    """
    frames = []
    for mean in wanted:
        means = np.full((each, 7 * WEEKS), float(mean)) * _WEEKDAYS
        made = {kind: (chance.poisson(rates(means, chance)), None) for kind, rates in STEADY.items()}
        made["stopped"] = _stopped(means, chance, holidays)
        if mean == HALVED:
            made["halved"] = _halved(np.repeat(means, 20, axis=0), chance)
        frames += [_frame(kind, mean, *counts, holidays) for kind, counts in made.items()]
    return pd.concat(frames, ignore_index=True)


def _halved(means: Counts, chance: np.random.Generator) -> tuple[Counts, Counts]:
    """Halve the volume in the last week."""
    is_event = np.zeros(means.shape, bool)
    is_event[:, -7:] = True
    return chance.poisson(np.where(is_event, means / 2, means)), is_event


def _stopped(means: Counts, chance: np.random.Generator, holidays: tuple[int, ...]) -> tuple[Counts, Counts]:
    """Send nothing on one weekday of the last weeks."""
    days = [day for day in range(7 * WEEKS - 70, 7 * WEEKS) if _WEEKDAYS[day] and day not in holidays]
    is_event = np.arange(7 * WEEKS) == chance.choice(days, len(means))[:, None]
    return chance.poisson(means) * ~is_event, is_event


def _frame(kind: str, mean: int, counts: Counts, is_event: Counts | None, holidays: tuple[int, ...]) -> pd.DataFrame:
    counts[:, list(holidays)] = 0
    nth, day = np.indices(counts.shape).reshape(2, -1)
    happened = False if is_event is None else is_event.ravel()
    return pd.DataFrame(
        {"kind": kind, "mean": mean, "nth": nth, "day": day, "sent": counts.ravel(), "is_event": happened}
    )


_ACTIVITIES = """
INSERT INTO engagement.sequence_activity BY NAME
SELECT md5(format('{} {} {}', kind, mean, nth))::UUID AS sequence_template_id, 'EMAIL' AS channel,
    $first_day::DATE + day::INTEGER AS day, sent AS total_sent
FROM simulated
"""
_JUDGED_DAYS = """
SELECT kind, mean, is_event, is_volume_anomaly AS is_flagged, 'day' AS unit
FROM engagement.sequence_daily AS daily JOIN simulated
    ON daily.sequence_template_id = md5(format('{} {} {}', kind, mean, nth))::UUID
    AND daily.day = $first_day::DATE + simulated.day::INTEGER
WHERE is_volume_anomaly IS NOT NULL AND isodow(daily.day) <= 5
"""
_JUDGED_WEEKS = """
SELECT any_value(kind) AS kind, any_value(mean) AS mean, bool_or(is_event) AS is_event,
    any_value(volume_signal <> 'as_usual') AS is_flagged, 'week' AS unit
FROM engagement.sequence_volumes AS volumes JOIN simulated
    ON volumes.sequence_template_id = md5(format('{} {} {}', kind, mean, nth))::UUID
    AND volumes.week_start = date_trunc('week', $first_day::DATE + simulated.day::INTEGER)
WHERE volume_signal IS NOT NULL
GROUP BY volumes.sequence_template_id, volumes.week_start
"""


def judged(simulated: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Build the tables. Return every judged day (Monday to Friday) and week: kind, mean, is_event, is_flagged, unit."""
    warehouse = Warehouse(str(folder / "simulated.duckdb"))
    warehouse.prepare()
    first_day = {"first_day": FIRST_DAY}
    with warehouse.transaction() as connection:
        for name in MADE_OF:
            build(connection, tables()[name], timezone="UTC", now=NOW)
    with warehouse.transaction() as connection:
        connection.register("simulated", simulated)
        connection.execute(_ACTIVITIES, first_day)
        days = connection.execute("SELECT DISTINCT day FROM engagement.sequence_activity").fetchall()
        connection.execute(LOADS, {"now": NOW, "days": [day for (day,) in days]})
        for name in BUILT:
            build(connection, tables()[name], timezone="UTC", now=NOW)
        found = [connection.execute(query, first_day).df() for query in (_JUDGED_DAYS, _JUDGED_WEEKS)]
        connection.unregister("simulated")
    return pd.concat(found, ignore_index=True)


def flagged(
    units: pd.DataFrame, unit: str, kind: str, *, is_event: bool = False, mean: int | None = None
) -> "pd.Series[bool]":
    """Return for each judged day or week of a kind whether it is flagged."""
    wanted = (units["unit"] == unit) & (units["kind"] == kind) & (units["is_event"] == is_event)
    if mean is not None:
        wanted &= units["mean"] == mean
    return units.loc[wanted, "is_flagged"].astype(bool)


def simulated(holidays: tuple[int, ...], each: int = EACH, means: Sequence[int] = MEANS, seed: int = 1) -> pd.DataFrame:
    """Simulate workspaces and return what is judged in them, as `judged` does."""
    with tempfile.TemporaryDirectory() as folder:
        return judged(simulate(np.random.default_rng(seed), each, means, holidays), Path(folder))


def figures(holidays: tuple[int, ...], scale: float) -> Iterator[Figure]:
    """Measure every figure, with these holidays."""
    name = ", holidays" if holidays else ""
    units = simulated(holidays, times(EACH, scale))
    for unit, what, at_most in (("day", "days of nothing flagged", 0.1), ("week", "weeks flagged", 4)):
        for kind in STEADY:
            flags = flagged(units, unit, kind)
            rate = 1000 * flags.mean()
            yield Figure(f"{what}: {kind}{name}", rate, None, at_most, len(flags), " per 1,000", MISSED[unit])
    for mean in (20, 30, 100):
        noticed = flagged(units, "day", "stopped", is_event=True, mean=mean)
        yield share(f"a day of nothing at {mean} a day noticed{name}", noticed, 0.99)
    yield share(f"a halved week at {HALVED} a day noticed{name}", flagged(units, "week", "halved", is_event=True), 0.9)


PARTS = (partial(figures, ()), partial(figures, HOLIDAYS))
