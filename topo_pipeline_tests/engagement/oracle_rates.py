"""Rates, from the definitions: a share's six columns, and what becomes of a difference of two."""

from typing import Any

from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

Row = dict[str, Any]
COLUMNS = ("_num", "_den", "", "_low", "_high", "_evidence")


def rate(name: str, num: int, den: int) -> Row:
    """A rate's six columns."""
    low, high = proportion_confint(num, den, method="wilson") if den else (None, None)
    return dict(
        zip(
            (name + column for column in COLUMNS),
            (num, den, num / den if den else None, low, high, evidence(num, den)),
            strict=True,
        )
    )


def no_rate(name: str) -> Row:
    """Those of a rate that has no meaning here."""
    return dict.fromkeys(name + column for column in COLUMNS)


def evidence(num: int, den: int) -> str:
    if den == 0:
        return "none"
    if den < 30:
        return "too_small"
    return "usable" if den >= 100 and num >= 5 else "directional"


def change(now: tuple[int, int], before: tuple[int, int]) -> tuple[float, float]:
    """Newcombe's bounds of the difference of two shares, each a (num, den)."""
    low, high = confint_proportions_2indep(*now, *before, method="newcomb", compare="diff")
    return float(low), float(high)
