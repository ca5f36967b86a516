"""A small version of `bench.calibration.volumes`: sequences and holidays, and what the tables say of them."""

import pandas as pd
import pytest

from bench.calibration.volumes import HOLIDAYS, STEADY, flagged, simulated

# How many of 1,000 weeks may be flagged: more than the target, because these are only some hundred weeks.
AT_MOST, ALLOWED = 8, {"weeks that vary by 15%": 12, "batches on Mondays, varying by 30%": 20}


@pytest.fixture(scope="module")
def units() -> pd.DataFrame:
    return simulated(HOLIDAYS, each=30, means=(10, 30), seed=1)


@pytest.mark.parametrize("kind", STEADY)
def test_few_weeks_of_steady_sequences_are_flagged(units: pd.DataFrame, kind: str) -> None:
    assert 1000 * flagged(units, "week", kind).mean() <= ALLOWED.get(kind, AT_MOST)


@pytest.mark.parametrize("kind", STEADY)
def test_hardly_any_day_of_nothing_is_flagged_by_chance(units: pd.DataFrame, kind: str) -> None:
    assert 1000 * flagged(units, "day", kind).mean() <= (1.5 if kind == "days that vary by 50%" else 0.5)


def test_a_day_of_nothing_and_a_halved_week_are_noticed(units: pd.DataFrame) -> None:
    assert flagged(units, "day", "stopped", is_event=True, mean=30).mean() >= 0.99
    assert flagged(units, "week", "halved", is_event=True).mean() >= 0.88
