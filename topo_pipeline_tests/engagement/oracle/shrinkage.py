"""Rates with average contacts added, and chances that one rate is higher than another."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

MIN_SEQUENCES, OTHERWISE = 3, 30.0


def added_contacts(rates: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the mean of rates, each (num, den), and the number of average contacts to add to each (by moments)."""
    total = sum(den for _, den in rates)
    mean = sum(num for num, _ in rates) / total
    if len(rates) < MIN_SEQUENCES or mean in (0, 1):
        return mean, OTHERWISE
    chance = mean * (1 - mean)
    squares = sum(den * (num / den - mean) ** 2 for num, den in rates)
    between = (squares - (len(rates) - 1) * chance) / (total - sum(den**2 for _, den in rates) / total)
    variance = min(max(between, (0.1 * mean) ** 2), chance / 4)
    return mean, chance / variance - 1


def shrunken(num: float, den: float, mean: float, added: float) -> float:
    return (num + added * mean) / (den + added)


def chance_of_highest(one: tuple[float, float], others: Sequence[tuple[float, float]]) -> float:
    """Return the chance that a Beta variable with these parameters is above all the others."""
    quantiles = stats.beta(*one).ppf((np.arange(20_000) + 0.5) / 20_000)
    return float(np.mean(np.prod([stats.beta(*other).cdf(quantiles) for other in others], axis=0)))


def step(chance: float) -> str:
    return "very_likely" if chance >= 0.95 else "likely" if chance >= 0.8 else "about_even"
