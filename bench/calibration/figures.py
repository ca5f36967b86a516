"""A measured figure next to its target."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Figure:
    """One figure of a calibration. `low` and `high` are the target; None has no limit."""

    what: str
    value: float
    low: float | None = None
    high: float | None = None
    cases: int = 0
    unit: str = "%"

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
        """The value and the number of cases that it is of."""
        return f"{self._text(self.value)} of {self.cases:,}" if self.cases else self._text(self.value)

    @property
    def is_met(self) -> bool:
        """Whether the value is within the target."""
        return (self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high)

    def _text(self, value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f}%" if self.unit == "%" else f"{value:.4g}{self.unit}"


def share(what: str, cases: Sequence[bool], low: float | None = None, high: float | None = None) -> Figure:
    """Return the share of cases that are true."""
    return Figure(what, float(np.mean(cases)) if len(cases) else float("nan"), low, high, len(cases))
