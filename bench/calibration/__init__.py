"""Simulated workspaces with a known truth: what the tables say, next to what is true.

Each module measures the figures of one kind with the product's own SQL. `python -m bench calibration` prints them all.
"""

from collections.abc import Iterator

from bench.calibration import forecast, ranking, signals, volumes
from bench.calibration.figures import Figure

MODULES = (signals, ranking, forecast, volumes)


def figures(scale: float = 1.0) -> Iterator[Figure]:
    """Measure every figure. `scale` is the share of the full number of simulated workspaces."""
    for module in MODULES:
        yield from module.figures(scale)
