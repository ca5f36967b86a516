"""Shares with their six columns, differences of shares, quantiles: from the textbook formulas."""

from collections.abc import Iterable
from math import sqrt
from statistics import NormalDist

from topo_pipeline.engagement.rules import DEFAULT_RULES, Rules
from topo_pipeline_tests.engagement.oracle.world import Row

COLUMNS = ("_num", "_den", "", "_low", "_high", "_evidence")
Z = NormalDist().inv_cdf(0.975)


def rate(name: str, num: int, den: int, rules: Rules = DEFAULT_RULES) -> Row:
    """Return the six columns of a rate."""
    low, high = wilson(num, den) if den else (None, None)
    values = (num, den, num / den if den else None, low, high, evidence(num, den, rules))
    return {name + column: value for column, value in zip(COLUMNS, values, strict=True)}


def no_rate(name: str) -> Row:
    """Return the six columns of a rate that does not apply to a row."""
    return dict.fromkeys(name + column for column in COLUMNS)


def no_rates(names: Iterable[str]) -> Row:
    return {column: None for name in names for column in no_rate(name)}


def evidence(num: int, den: int, rules: Rules = DEFAULT_RULES) -> str:
    if den == 0:
        return "none"
    if den < rules.evidence_small:
        return "too_small"
    return "usable" if den >= rules.evidence_usable and num >= rules.evidence_events else "directional"


def wilson(num: int, den: int) -> tuple[float, float]:
    """Return the bounds of the 95% Wilson score interval."""
    share = num / den
    middle = share + Z**2 / (2 * den)
    half = Z * sqrt(share * (1 - share) / den + Z**2 / (4 * den**2))
    scale = 1 + Z**2 / den
    # At the ends of the scale the formula is exactly 0 and 1, but floats are not.
    low = 0.0 if num == 0 else (middle - half) / scale
    high = 1.0 if num == den else (middle + half) / scale
    return low, high


def change(now: tuple[int, int], before: tuple[int, int]) -> tuple[float, float]:
    """Return Newcombe's bounds of the difference of two shares, each a (num, den)."""
    share_now, share_before = now[0] / now[1], before[0] / before[1]
    (low_now, high_now), (low_before, high_before) = wilson(*now), wilson(*before)
    difference = share_now - share_before
    return (
        difference - sqrt((share_now - low_now) ** 2 + (high_before - share_before) ** 2),
        difference + sqrt((high_now - share_now) ** 2 + (share_before - low_before) ** 2),
    )


def quantile(values: Iterable[float], share: float) -> float:
    """Return the quantile, by linear interpolation between the two values next to it."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def ratio(num: float, den: float) -> float | None:
    return num / den if den else None
