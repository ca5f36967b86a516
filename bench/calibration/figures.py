"""A measured figure next to its target."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Figure:
    """One figure of a calibration.

    Attributes:
        what: What was measured.
        value: The result. None if nothing is measured; then `reason` is what there is to say.
        low: The smallest value that meets the target. None has no limit.
        high: The largest one.
        cases: The number of cases that the value is of.
        unit: `%` for a share, otherwise what follows the number.
        reason: Why the target is missed by more than two standard errors, where it is, to follow "because".
        error: The standard error of the value. None if it is not known.
    """

    what: str
    value: float | None
    low: float | None = None
    high: float | None = None
    cases: int = 0
    unit: str = "%"
    reason: str = ""
    error: float | None = None

    @property
    def target(self) -> str:
        """The target in words."""
        if self.low is None and self.high is None:
            return "–"
        if self.low is None:
            return f"≤ {self._text(self.high)}"
        return (
            f"≥ {self._text(self.low)}" if self.high is None else f"{self._text(self.low)} to {self._text(self.high)}"
        )

    @property
    def measured(self) -> str:
        """The value and the number of cases that it is of. Where the target is missed, what is known of that."""
        if self.value is None:
            return self.reason
        value = f"{self._text(self.value)} ({self.cases:,} cases)" if self.cases else self._text(self.value)
        return value if self.is_met in {True, None} else value + self._missed(self.value)

    @property
    def is_met(self) -> bool | None:
        """Whether the value is within the target. None without a target."""
        if self.value is None or (self.low is None and self.high is None):
            return None
        return bool((self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high))

    def _missed(self, value: float) -> str:
        target = self.low if self.low is not None and value < self.low else self.high
        # A target of 0 allows no case at all.
        if target and self.error is not None and abs(value - target) <= 2 * self.error:
            return f", within two standard errors of the target (one is {self._text(self.error)})"
        return f", because {self.reason}" if self.reason else ""

    def _text(self, value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f}%" if self.unit == "%" else f"{value:.3g}{self.unit}"


def share(
    what: str, cases: Iterable[bool | Sequence[bool]], low: float | None = None, high: float | None = None
) -> Figure:
    """Return the share of cases that are true.

    Several cases of one workspace are a sequence: they are not independent, so the error is that over workspaces.
    """
    groups = [np.atleast_1d(each) for each in cases]
    true, sizes = (np.array([measure(each) for each in groups], float) for measure in (np.sum, np.size))
    value = true.sum() / sizes.sum() if sizes.sum() else float("nan")
    return Figure(what, value, low, high, int(sizes.sum()), error=ratio_error(true, sizes))


def ratio_error(counts: npt.ArrayLike, sizes: npt.ArrayLike) -> float:
    """Return the standard error of the sum of counts divided by the sum of sizes, each pair from one workspace."""
    counts, sizes = np.asarray(counts, float), np.asarray(sizes, float)
    if not sizes.sum():
        return float("nan")
    differences = counts - counts.sum() / sizes.sum() * sizes
    return float(np.sqrt((differences**2).sum()) / sizes.sum())


def times(number: int, scale: float) -> int:
    """Return the number of simulated workspaces at this scale."""
    return max(1, round(number * scale))
