"""Forecasts: how often the range contains what came, and how far forecasts are off in sum."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import partial

import numpy as np

from bench.calibration.figures import Figure, ratio_error, share, times
from bench.calibration.worlds import FIRST_DAY, Contacts, Floats, Workspace, monday, plan, seeded, simulate, workspace

WEEKS = 60
MONDAYS = range(46, 55, 2)
WORLDS: dict[str, dict[str, object]] = {
    "steady": {},
    "rates vary by 15%": {"variation": 0.15},
    "rates drift by 5% a week": {"drift": 0.05},
    "volumes grow by 2% a week": {"growth": 0.02},
}
Z_80, Z_95 = 1.28, 1.96


def forecasts(name: str, scale: float) -> Iterator[Figure]:
    """Measure the forecasts of replies and meetings in a world."""
    chance = seeded(name)
    inside: dict[str, list[list[bool]]] = defaultdict(list)
    sums = []
    for _ in range(times(16, scale)):
        of_world: dict[str, list[bool]] = defaultdict(list)
        sums.append(np.zeros(2))
        contacts = simulate(chance, replace(plan(chance, WEEKS), **WORLDS[name]))  # type: ignore[arg-type]
        workspace().hold(contacts)
        for week in MONDAYS:
            workspace().known_until(monday(week))
            workspace().build("sequence_forecast")
            compare(workspace(), contacts, monday(week), of_world, sums[-1])
        for width, cases in of_world.items():
            inside[width].append(cases)
    yield share(f"forecast, {name}: 80% range contains what came, workspace", inside["workspace 80"], 0.75, 0.88)
    yield share(f"forecast, {name}: 95% range, workspace", inside["workspace 95"], 0.91, 0.98)
    yield share(f"forecast, {name}: 80% range, sequences that expect 5 or more", inside["sequence 80"], 0.75, 0.88)
    yield share(f"forecast, {name}: 95% range, sequences that expect 5 or more", inside["sequence 95"], 0.91, 0.98)
    expected, came = np.transpose(sums)
    bias = float(abs(came.sum() / expected.sum() - 1))
    error = ratio_error(came, expected)
    yield Figure(f"forecast, {name}: bias", bias, high=0.03, cases=len(sums), error=error)


def compare(workspace: Workspace, contacts: Contacts, day: date, inside: dict[str, list[bool]], sums: Floats) -> None:
    """Add the forecasts of a day to what was found."""
    today = (day - FIRST_DAY).days
    for scope in ("sequence", "workspace"):
        for sequence, row in workspace.forecasts(scope).iterrows():
            at = contacts.replied if row["outcome"] == "valid_reply" else contacts.met
            is_own = np.full(len(at), True) if scope == "workspace" else contacts.sequence == sequence
            is_own &= (contacts.touched < today) & (contacts.touched >= today - 30)
            came = int((is_own & (at >= today) & (at < today + row["horizon_days"])).sum())
            if scope == "workspace":
                sums += (row["expected"], came)
            if row["expected_low"] is None or np.isnan(row["expected_low"]) or row["expected"] < 5:
                continue
            inside[f"{scope} 80"].append(bool(row["expected_low"] <= came <= row["expected_high"]))
            low, high = _range(row["expected"], row["spread"], Z_95)
            inside[f"{scope} 95"].append(bool(low <= came <= high))


def _range(expected: float, spread: float, z: float) -> tuple[float, float]:
    half = z * np.sqrt(1 + spread**2 * expected) / 2
    middle = np.sqrt(expected + 0.25)
    return max(0.0, max(0.0, middle - half) ** 2 - 0.5), (middle + half) ** 2 - 0.5


PARTS = tuple(partial(forecasts, name) for name in WORLDS)
