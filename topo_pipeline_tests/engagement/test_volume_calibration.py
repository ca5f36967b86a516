"""A small version of `bench.calibration.volumes`: sequences and holidays, and what the tables say of them."""

import pandas as pd
import pytest

from bench.calibration.volumes import HOLIDAYS, STEADY, flagged, simulated

# Sequences whose weeks or days vary more than the rules were made for, with how many of 1,000 weeks may be flagged.
ALLOWED = {"weeks that vary by 15%": 10, "batches on Mondays, varying by 30%": 25}


@pytest.fixture(scope="module")
def units() -> pd.DataFrame:
    return simulated(HOLIDAYS, each=30, means=(10, 30), seed=1)


@pytest.mark.parametrize("kind", STEADY)
def test_few_weeks_of_steady_sequences_are_flagged(units: pd.DataFrame, kind: str) -> None:
    assert 1000 * flagged(units, "week", kind) <= ALLOWED.get(kind, 4)


@pytest.mark.parametrize("kind", STEADY)
def test_hardly_any_day_of_nothing_is_flagged_by_chance(units: pd.DataFrame, kind: str) -> None:
    assert 1000 * flagged(units, "day", kind) <= (1.5 if kind == "days that vary by 50%" else 0.5)


def test_a_day_of_nothing_and_a_halved_week_are_noticed(units: pd.DataFrame) -> None:
    assert flagged(units, "day", "stopped", is_event=True, mean=30) >= 0.99
    assert flagged(units, "week", "halved", is_event=True) >= 0.88
