"""Simulated workspaces with a known truth: what the tables say, next to what is true.

Each module measures the figures of one kind with the product's own SQL, in parts that can run at the same time. Two
figures are computed with NumPy instead: the 95% range of forecasts, which the tables don't have, and the first of the
ranking in `ranking.regrets`, of which `ranking.words` checks that the tables have the same.
`python -m bench calibration` prints them all.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context

from bench.calibration import findings, forecast, ranking, sentences, signals, volumes
from bench.calibration.figures import Figure

# The first has one long part, which runs while the others do.
MODULES = (sentences, signals, ranking, forecast, volumes, findings)

Part = Callable[[float], Iterator[Figure]]


def figures(scale: float = 1.0) -> Iterator[Figure]:
    """Measure every figure, with one process per core. `scale` is the share of the full number of workspaces."""
    parts: list[Part] = [part for module in MODULES for part in module.PARTS]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for found in pool.map(_measured, parts, repeat(scale)):
            yield from found


def _measured(part: Part, scale: float) -> list[Figure]:
    return [*part(scale)]
