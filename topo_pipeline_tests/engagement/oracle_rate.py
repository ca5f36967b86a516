"""A rate's six columns, by a library of statistics."""

from typing import Any

from statsmodels.stats.proportion import proportion_confint


def rate(name: str, num: int, den: int) -> dict[str, Any]:
    """A rate's six columns."""
    low, high = proportion_confint(num, den, method="wilson") if den else (None, None)
    return {
        f"{name}_num": num,
        f"{name}_den": den,
        name: num / den if den else None,
        f"{name}_low": low,
        f"{name}_high": high,
        f"{name}_evidence": evidence(num, den),
    }


def no_rate(name: str) -> dict[str, Any]:
    """The six columns of a rate that means nothing there."""
    return dict.fromkeys(rate(name, 0, 0))


def evidence(num: int, den: int) -> str:
    if den == 0:
        return "none"
    if den < 30:
        return "too_small"
    return "usable" if den >= 100 and num >= 5 else "directional"
