"""A measured figure next to its target."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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
        reason: Why the target is missed, where it is, to follow "because".
    """

    what: str
    value: float | None
    low: float | None = None
    high: float | None = None
    cases: int = 0
    unit: str = "%"
    reason: str = ""

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
        """The value and the number of cases that it is of. The reason, where the target is missed."""
        value = f"{self._text(self.value)} ({self.cases:,} cases)" if self.cases else self._text(self.value)
        return ", because ".join(filter(None, (value, self._why)))

    @property
    def is_met(self) -> bool | None:
        """Whether the value is within the target. None without a target."""
        if self.value is None or (self.low is None and self.high is None):
            return None
        return bool((self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high))

    @property
    def _why(self) -> str:
        """Why the target is missed. A share that misses it by little needs no other reason than chance."""
        if self.is_met or (self.value is not None and self.is_met is None):
            return ""
        if self.reason or self.value is None or self.unit != "%":
            return self.reason
        target = self.low if self.low is not None and self.value < self.low else self.high or 0.0
        error = np.sqrt(target * (1 - target) / max(self.cases, 1))
        is_chance = abs(self.value - target) <= 2 * error
        return f"chance alone explains it: the standard error is {100 * error:.1f}%" if is_chance else ""

    def _text(self, value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f}%" if self.unit == "%" else f"{value:.3g}{self.unit}"


def share(what: str, cases: Sequence[bool], low: float | None = None, high: float | None = None) -> Figure:
    """Return the share of cases that are true."""
    return Figure(what, float(np.mean(cases)) if len(cases) else float("nan"), low, high, len(cases))


def times(number: int, scale: float) -> int:
    """Return the number of simulated workspaces at this scale."""
    return max(1, round(number * scale))
