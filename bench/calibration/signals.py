"""Early reads and change signals: how often the range contains the truth, false signals, and changes noticed."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial

import numpy as np
import pandas as pd

from bench.calibration.figures import Figure, ratio_error, share, times
from bench.calibration.worlds import Contacts, monday, plan, seeded, simulate, workspace

FIRST_WEEK = 32  # by then the curve is learned from 26 weeks
WEEKS = 54
# Worlds in which no sequence changes against the others, with the largest share of Mondays with a false signal, and the
# number of simulated workspaces: fewer where the share is far from its target.
QUIET: dict[str, tuple[dict[str, object], float, int]] = {
    "steady": ({}, 0.05, 40),
    "rates vary by 15% from week to week": ({"variation": 0.15}, 0.05, 20),
    "rates vary by 30%": ({"variation": 0.3}, 0.1, 20),
    "rates vary by 30% together": ({"common_variation": 0.3}, 0.1, 10),
    "volumes grow by 2% a week": ({"growth": 0.02}, 0.05, 20),
    "most contacts touched on Mondays": ({"weekdays": (0.7, 0.05, 0.1, 0.05, 0.1, 0, 0)}, 0.05, 20),
    "replies take 40% longer from one week on": ({"slower": 1.4, "changes_in": 44}, 0.1, 10),
    "all rates fall by 40% in one week": ({"factors": (0.6,) * 20, "changes_in": 44}, 0.1, 10),
}
HOLIDAY = 44
FALLS_IN, RATE = 40, 0.08
# New contacts a week of the sequence that falls to half, and how often it has to be noticed after so many weeks.
POWER = {500: {4: 0.95}, 200: {4: 0.6, 8: 0.75}, 100: {8: 0.45}}
POWER_WORLDS = {500: 20, 200: 40, 100: 60}


def early_reads(scale: float) -> Iterator[Figure]:
    """Measure the early read on every weekday of as_of."""
    chance = seeded("early reads")
    found = []
    for world in range(times(20, scale)):
        how = plan(chance, WEEKS)
        how = replace(how, rates=chance.uniform(0.02, 0.1, 20).tolist(), volumes=np.geomspace(8, 500, 20).tolist())
        workspace().hold(simulate(chance, how))
        for weekday in range(7):
            workspace().known_until(monday(int(chance.integers(36, WEEKS))) + timedelta(days=weekday))
            workspace().build("reply_timing", "sequence_signals")
            found.append(workspace().signals().assign(truth=how.rates, world=world, weekday=weekday))
    yield from of_reads(pd.concat(found))


def of_reads(reads: pd.DataFrame) -> Iterator[Figure]:
    """Return the figures of early reads: rows of `sequence_signals` with truth, world and weekday."""
    reads = reads.assign(is_inside=reads["truth"].between(reads["early_rate_low"], reads["early_rate_high"]))
    large, small = reads["early_rate_den"] >= 100, reads["early_rate_den"].between(25, 40)  # noqa: PLR2004
    what, low, high = "early read: the 95% range contains the rate, 100 contacts or more", 0.92, 0.97
    yield share(what, _by_world(reads[large]), low, high)
    by_weekday = [
        share(f"{what}, worst weekday of as_of", _by_world(of), low, high) for _, of in _weekdays(reads[large])
    ]
    yield max(by_weekday, key=lambda figure: abs((figure.value or 0) - (low + high) / 2))
    yield share("early read: the same with about 30 contacts", _by_world(reads[small]), 0.91)
    yield _bias("early read: bias over all weekdays", reads)
    biases = [_bias("early read: bias, worst weekday of as_of", of) for _, of in _weekdays(reads)]
    yield max(biases, key=lambda figure: figure.value or 0)


def _weekdays(reads: pd.DataFrame) -> Iterator[tuple[object, pd.DataFrame]]:
    return iter(reads.groupby("weekday"))


def _by_world(reads: pd.DataFrame) -> list[list[bool]]:
    return [of["is_inside"].tolist() for _, of in reads.groupby("world")]


def _bias(what: str, reads: pd.DataFrame) -> Figure:
    sums = reads.assign(expected=reads["early_rate_den"] * reads["truth"]).groupby("world").sum(numeric_only=True)
    came, expected = sums["early_rate_num"], sums["expected"]
    value = float(abs(came.sum() / expected.sum() - 1))
    return Figure(what, value, high=0.02, cases=len(sums), error=ratio_error(came, expected))


def quiet(name: str, scale: float) -> Iterator[Figure]:
    """Measure false signals in a world in which no sequence changes against the others."""
    changes, at_most, number = QUIET[name]
    # The four weeks that are judged on a Monday are over before those of the next one.
    found = _mondays(name, times(number, scale), changes, range(FIRST_WEEK, WEEKS, 4))
    worlds = [*zip(*found.values(), strict=True)]
    false = [[is_false for is_false, _ in world] for world in worlds]
    yield share(f"Mondays with a false signal among 20 sequences: {name}", false, high=at_most)
    if name == "steady":
        of_all = [[is_false for _, is_false in world] for world in worlds]
        yield share("Mondays with a false signal of the whole workspace: steady", of_all, high=0.08)


def _mondays(name: str, worlds: int, changes: dict[str, object], weeks: range) -> dict[int, list[tuple[bool, bool]]]:
    """Return for each week whether a sequence had a signal, and whether the workspace had one."""
    chance = seeded(name)
    found: dict[int, list[tuple[bool, bool]]] = defaultdict(list)
    for _ in range(worlds):
        workspace().hold(simulate(chance, replace(plan(chance, WEEKS), **changes)))  # type: ignore[arg-type]
        for week in weeks:
            workspace().known_until(monday(week))
            workspace().build("reply_timing", "sequence_signals")
            of_sequences, of_all = (
                bool(workspace().signals(scope)["signal"].isin(["up", "down"]).any())
                for scope in ("sequence", "workspace")
            )
            found[week].append((of_sequences, of_all))
    return found


def holiday(scale: float) -> Iterator[Figure]:
    """Measure a holiday of two weeks, in which few reply."""
    found = _mondays("holiday", times(36, scale), {"holiday": HOLIDAY}, range(HOLIDAY + 1, HOLIDAY + 7))
    worst = max(found.values(), key=lambda week: np.mean([is_false for is_false, _ in week]))
    yield share("a holiday of two weeks: false signals on its worst Monday", [one for one, _ in worst], high=0.15)
    noticed = max(found.values(), key=lambda week: np.mean([is_seen for _, is_seen in week]))
    yield share("a holiday of two weeks: noticed for the whole workspace", [seen for _, seen in noticed])


def power(volume: int, scale: float) -> Iterator[Figure]:
    """Measure how often a fall of one of 20 sequences from 8% to 4% is noticed."""
    chance = seeded(f"power {volume}")
    weeks = range(1, max(POWER[volume]) + 1)
    noticed: dict[int, list[bool]] = defaultdict(list)
    for _ in range(times(POWER_WORLDS[volume], scale)):
        how = plan(chance, FALLS_IN + 9)
        how = replace(how, volumes=[volume, *how.volumes[1:]], rates=[RATE, *how.rates[1:]])
        workspace().hold(_halved(chance, simulate(chance, how)))
        is_noticed = False
        for week in weeks:
            is_noticed = is_noticed or _falls_on(FALLS_IN + week)
            noticed[week].append(is_noticed)
    for after, at_least in POWER[volume].items():
        what = f"a fall from 8% to 4% noticed within {after} weeks, {volume} new contacts a week"
        yield share(what, noticed[after], at_least)


def _falls_on(week: int) -> bool:
    """Return whether the first sequence has a signal on this Monday."""
    workspace().known_until(monday(week))
    workspace().build("reply_timing", "sequence_signals")
    return bool(workspace().signals().loc[0, "signal"] == "down")


def _halved(chance: np.random.Generator, contacts: Contacts) -> Contacts:
    """Return the contacts with half of the replies to the first sequence's contacts touched after the fall."""
    is_gone = (contacts.sequence == 0) & (contacts.touched >= 7 * FALLS_IN)
    is_gone &= chance.random(len(contacts.touched)) < 0.5
    return replace(
        contacts, replied=np.where(is_gone, np.nan, contacts.replied), met=np.where(is_gone, np.nan, contacts.met)
    )


PARTS = (
    early_reads,
    *(partial(quiet, name) for name in QUIET),
    holiday,
    *(partial(power, volume) for volume in POWER),
)
