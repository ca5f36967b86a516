"""Ranks and chances: is the first sequence a good choice, and are words such as likely true as often as they should?"""

from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from bench.calibration.figures import Figure, share
from bench.calibration.worlds import Counts, Floats, Workspace

MIN_CONTACTS = 30
# Rates and contacts of the sequences of a workspace.
WORLDS: dict[str, Callable[[np.random.Generator], tuple[Floats, Floats]]] = {
    "20 sequences": lambda chance: (chance.beta(3, 47, 20), np.exp(chance.uniform(2.3, 7.6, 20))),
    "5 sequences": lambda chance: (chance.beta(3, 47, 5), np.exp(chance.uniform(3.4, 6.5, 5))),
    "60 sequences": lambda chance: (chance.beta(3, 47, 60), np.exp(chance.uniform(1.6, 7, 60))),
    "rates nearly equal": lambda chance: (chance.beta(60, 940, 20), np.exp(chance.uniform(2.3, 7.6, 20))),
    "two kinds of sequences": lambda chance: (
        np.where(chance.random(12) < 0.3, 0.1, 0.04) * chance.uniform(0.9, 1.1, 12),
        np.exp(chance.uniform(2.3, 7, 12)),
    ),
}


def figures(scale: float) -> Iterator[Figure]:
    """Measure every figure. `scale` is the share of the full number of simulated workspaces."""
    workspace, chance = Workspace(), np.random.default_rng(23)
    said: dict[str, list[bool]] = defaultdict(list)
    regrets: dict[str, list[tuple[float, float]]] = defaultdict(list)
    too_small = 0
    for name, draw in WORLDS.items():
        for _ in range(max(2, round(80 * scale))):
            rates, sizes = draw(chance)
            found = ranked(workspace, chance, rates, np.maximum(1, sizes.astype(int)))
            too_small += int((found["reply_rate_den"] < MIN_CONTACTS).sum())
            if len(found) < 2:
                continue
            regrets[name].append(regret(found))
            for claim, is_true in claims(found):
                said[claim].append(is_true)
    for name, pairs in regrets.items():
        ours, wilsons = np.mean(pairs, axis=0)
        yield Figure(f"points lost by the first of the ranking ({name})", 100 * ours, high=100 * wilsons, unit="")
    yield Figure("sequences below 30 contacts that were ranked", too_small, high=0, unit="")
    yield share("very likely is true", said["very_likely"], 0.92)
    yield share("likely is true", said["likely"], 0.72)
    yield share("about even is true", said["about_even"])
    yield share("best is true", said["best"], 0.72)
    yield share("leads is true", said["leads"])


def ranked(workspace: Workspace, chance: np.random.Generator, rates: Floats, contacts: Counts) -> pd.DataFrame:
    """Return the ranking of sequences with these rates and contacts, first to last, with the rates as `truth`."""
    replies = chance.binomial(contacts, rates)
    workspace.rate(list(zip(replies.tolist(), contacts.tolist(), strict=True)))
    found = workspace.signals().assign(truth=rates)
    return found[found["reply_rank"].notna()].sort_values(["reply_rank", "sequence_template_id"])


def regret(found: pd.DataFrame) -> tuple[float, float]:
    """Return how much lower than the best rate that of the first is, by the ranking and by Wilson's lower bound."""
    truth = found["truth"].to_numpy()
    return truth.max() - truth[0], truth.max() - truth[found["reply_rate_low"].to_numpy().argmax()]


def claims(found: pd.DataFrame) -> Iterator[tuple[str, bool]]:
    """Yield each word that was used, and whether it was true."""
    truth = found["truth"].to_numpy()
    above, below, standing = (found[name].tolist() for name in ("chance_above_next", "chance_below_first", "standing"))
    for place in range(len(truth)):
        if place + 1 < len(truth):
            yield above[place], bool(truth[place] > truth[place + 1])
        if place:
            yield below[place], bool(truth[place] < truth[0])
    yield standing[0], bool(truth[0] == truth.max())
