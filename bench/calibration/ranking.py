"""Ranks and chances: is the first sequence a good choice, and are words such as likely true as often as they should?"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd

from bench.calibration.figures import Figure, share, times
from bench.calibration.worlds import Counts, Floats, Workspace, seeded, workspace

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
MISSED = "the added contacts suit rates that spread evenly around their mean"


def words(scale: float) -> Iterator[Figure]:
    """Measure what is said of the ranks, in all the worlds together."""
    chance = seeded("words")
    said: dict[str, list[list[bool]]] = defaultdict(list)
    too_small, differs = [], []
    for draw in WORLDS.values():
        for _ in range(times(40, scale)):
            rates, contacts = drawn(draw, chance)
            replies = chance.binomial(contacts, rates)
            found = ranked(workspace(), replies, contacts, rates)
            too_small += (found["reply_rate_den"] < MIN_CONTACTS).tolist()
            if len(found) < 2:
                continue
            differs.append(rates[shrunken(replies, contacts).argmax()] != found["truth"].iloc[0])
            for claim, cases in pd.DataFrame(claims(found)).groupby(0)[1]:
                said[str(claim)].append(cases.tolist())
    yield share("ranked sequences below 30 contacts", too_small, high=0)
    yield share("very likely is true", said["very_likely"], 0.92)
    yield share("likely is true", said["likely"], 0.72)
    yield share("about even is true", said["about_even"])
    yield share("best is true", said["best"], 0.72)
    yield share("leads is true", said["leads"])
    yield share("the first by the tables is not the first by the formula of the next lines", differs, high=0)


def regrets(name: str, scale: float) -> Iterator[Figure]:
    """Compare the first of the ranking with the one that has the highest lower bound.

    The choices agree in most workspaces, so it takes thousands to see a difference. They are ranked with NumPy.
    """
    chance = seeded(name)
    lost = []
    for _ in range(times(8000, scale)):
        rates, contacts = drawn(WORLDS[name], chance)
        replies = chance.binomial(contacts, rates)
        ours, wilsons = shrunken(replies, contacts), lower_bounds(replies, contacts)
        best = rates[contacts >= MIN_CONTACTS].max(initial=0)
        lost.append((best - rates[ours.argmax()], best - rates[wilsons.argmax()]))
    ours, wilsons = 100 * np.mean(lost, axis=0)
    error = float(100 * np.std(np.diff(lost)) / np.sqrt(len(lost)))
    what = f"points of the rate between the best and the first of the ranking, target that of Wilson's bound ({name})"
    yield Figure(what, ours, high=wilsons, cases=len(lost), unit="", reason=MISSED, error=error)


def drawn(
    draw: Callable[[np.random.Generator], tuple[Floats, Floats]], chance: np.random.Generator
) -> tuple[Floats, Counts]:
    """Return the rates and contacts of a workspace."""
    rates, sizes = draw(chance)
    return rates, np.maximum(1, sizes.astype(int))


def shrunken(replies: Counts, contacts: Counts) -> Floats:
    """Return the rates with average contacts added, as in shrinkage.jinja; -1 with too few contacts for a rank."""
    total, mean = contacts.sum(), replies.sum() / contacts.sum()
    added, chance = 30.0, mean * (1 - mean)
    if len(contacts) >= 3 and chance > 0:  # noqa: PLR2004
        squares = (contacts * (replies / contacts - mean) ** 2).sum()
        spread = (squares - (len(contacts) - 1) * chance) / (total - (contacts**2).sum() / total)
        added = chance / min(max(spread, (0.1 * mean) ** 2), chance / 4) - 1
    return np.where(contacts < MIN_CONTACTS, -1, (replies + added * mean) / (contacts + added))


def lower_bounds(replies: Counts, contacts: Counts) -> Floats:
    """Return Wilson's lower bounds; -1 with too few contacts for a rank."""
    z = 1.96
    half = z * np.sqrt(replies * (contacts - replies) / contacts + z * z / 4)
    return np.where(contacts < MIN_CONTACTS, -1, (replies + z * z / 2 - half) / (contacts + z * z))


def ranked(workspace: Workspace, replies: Counts, contacts: Counts, rates: Floats) -> pd.DataFrame:
    """Return the ranking of sequences with these replies and contacts, first to last, with the rates as `truth`."""
    workspace.rate(list(zip(replies.tolist(), contacts.tolist(), strict=True)))
    found = workspace.signals().assign(truth=rates)
    return found[found["reply_rank"].notna()].sort_values(["reply_rank", "sequence_template_id"])


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


PARTS = (words, *(partial(regrets, name) for name in WORLDS))
