"""The report's findings: is what they say true, and does it still hold a week later?

Each finding of a Monday is looked at again on the next Monday, with the product's own `of_kind`.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from uuid import UUID

import numpy as np
import pandas as pd

from bench.calibration.figures import Figure, share, times
from bench.calibration.worlds import FIRST_DAY, Contacts, Counts, Floats, monday, number_of, plan, seeded, simulate
from bench.calibration.worlds import workspace as of_process
from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report.findings import KINDS, of_kind

# What these say is counted, so it is true, and a week later it is true of that time.
COUNTED = {
    "unknown_days": "counts the days that were not read in full",
    "silent": "counts the contacts that wait, and the business days without a message",
    "tracking_off": "counts the emails without an open or click; at an open rate of 30%, 50 don't happen by chance",
    "unusual_volume": "compares the messages of a day or week that is over; the lines on these show its false alarms",
}
CHANGED = ("down", "up", "all_down", "all_up")
COMPARED = ("better", "worse")
SIMULATED = (*CHANGED, *COMPARED, "last_step", "no_new_contacts")
HOLDS = 0.8
WEEKS, FIRST_WEEK = 52, 34
CURRENT, BASELINE = 4, 8
SEQUENCES = 20
STEPS = 4


@dataclass(frozen=True)
class Seen:
    """What the report says on a Monday.

    Attributes:
        said: The kind and the number of the sequence of each finding.
        leaning: For each kind of finding and sequence, whether the observed numbers lean the way the kind says, by
            however little.
    """

    said: set[tuple[str, int]]
    leaning: set[tuple[str, int]] = field(default_factory=set)


@dataclass
class Followed:
    """Findings, followed for a week: cases by kind and simulated workspace."""

    is_true: dict[tuple[str, int], list[bool]] = field(default_factory=lambda: defaultdict(list))
    is_leaning: dict[tuple[str, int], list[bool]] = field(default_factory=lambda: defaultdict(list))
    is_said: dict[tuple[str, int], list[bool]] = field(default_factory=lambda: defaultdict(list))

    def add(self, world: int, before: Seen, after: Seen, truth: set[tuple[str, int]]) -> None:
        """Add the findings of a Monday. `truth` is what is true then and a week later."""
        for kind, sequence in sorted(before.said):
            self.is_true[kind, world].append((kind, sequence) in truth)
            self.is_leaning[kind, world].append((kind, sequence) in after.leaning)
            self.is_said[kind, world].append((kind, sequence) in after.said)

    def figures(self, *kinds: str) -> Iterator[Figure]:
        """Return how many are true, how many the numbers still point to a week later, and how many are still said."""
        for kind in kinds:
            for what, found, low in (
                ("true, and still true a week later", self.is_true, HOLDS),
                ("the numbers point the same way a week later", self.is_leaning, HOLDS),
                ("still in the report a week later", self.is_said, None),
            ):
                yield share(f"finding {kind}: {what}", [found[key] for key in found if key[0] == kind], low)


def changes(scale: float) -> Iterator[Figure]:
    """Measure findings of changes, where rates change for good from time to time."""
    chance, workspace, followed = seeded("changes"), of_process(), Followed()
    for world in range(times(15, scale)):
        contacts = simulate(chance, replace(plan(chance, WEEKS, SEQUENCES), jumps=0.03, common_jumps=0.02))
        workspace.hold(contacts)
        before = None
        for week in range(FIRST_WEEK, WEEKS):
            workspace.known_until(monday(week))
            workspace.build("reply_timing", "sequence_signals")
            after = Seen(_said(*CHANGED), {*_directions()})
            if before is not None:
                followed.add(world, before, after, {*changed(contacts, week - 1)} & {*changed(contacts, week)})
            before = after
    yield from followed.figures(*CHANGED)


def comparisons(scale: float) -> Iterator[Figure]:
    """Measure findings of sequences that are better or worse than the others, whose rates stay the same."""
    chance, followed = seeded("comparisons"), Followed()
    for world in range(times(20, scale)):
        how = plan(chance, WEEKS, SEQUENCES)
        weekly, rates = np.array(how.volumes), np.array(how.rates)
        contacts = chance.poisson(weekly * chance.integers(4, WEEKS, SEQUENCES)).clip(1)
        more = chance.poisson(weekly)
        replies = chance.binomial(contacts, rates)
        seen = []
        for num, den in ((replies, contacts), (replies + chance.binomial(more, rates), contacts + more)):
            of_process().rate(list(zip(num.tolist(), den.tolist(), strict=True)))
            seen.append(Seen(_said(*COMPARED), {*_apart(num.astype(float), den.astype(float))}))
        followed.add(world, *seen, {*_apart(contacts * rates, contacts.astype(float))})
    yield from followed.figures(*COMPARED)


def _said(*kinds: str) -> set[tuple[str, int]]:
    found = [finding for kind in kinds for finding in of_kind(of_process().connection, kind, DEFAULT_RULES)]
    return {(each.kind, number_of(each.sequence_id and UUID(each.sequence_id))) for each in found}


def _directions() -> Iterator[tuple[str, int]]:
    """Yield the direction in which the observed replies of each sequence differ from what was expected."""
    for scope, prefix in (("sequence", ""), ("workspace", "all_")):
        change = of_process().signals(scope)["change_z"].dropna()
        for sequence, z in zip(change.index.tolist(), change.tolist(), strict=True):
            yield f"{prefix}{'up' if z > 0 else 'down'}", sequence


def _apart(replies: Floats, contacts: Floats) -> Iterator[tuple[str, int]]:
    """Yield for each sequence whether its rate is better or worse than that of the others together."""
    others = (replies.sum() - replies) / np.maximum(contacts.sum() - contacts, 1)
    for sequence, is_better in enumerate(replies > others * contacts):
        yield "better" if is_better else "worse", sequence


def changed(contacts: Contacts, week: int) -> Iterator[tuple[str, int]]:
    """Yield the direction in which each sequence has truly changed against the others, and the workspace."""
    counts = _by_week(contacts)
    replies, current, baseline = counts * contacts.rates, slice(week - CURRENT, week), week - CURRENT - BASELINE
    before = slice(baseline, week - CURRENT)
    now = replies[:, current].sum(axis=1)
    expected = counts[:, current].sum(axis=1) * replies[:, before].sum(axis=1) / counts[:, before].sum(axis=1).clip(1)
    common = (now.sum() - now) / (expected.sum() - expected)
    for sequence in range(SEQUENCES):
        yield ("up" if now[sequence] > common[sequence] * expected[sequence] else "down"), sequence
    yield ("all_up" if now.sum() > expected.sum() else "all_down"), 0


def _by_week(contacts: Contacts) -> Counts:
    week = contacts.touched.astype(int) // 7
    return np.bincount(contacts.sequence * WEEKS + week, minlength=SEQUENCES * WEEKS).reshape(SEQUENCES, WEEKS)


def last_steps(scale: float) -> Iterator[Figure]:
    """Measure the finding of a last step that brings little, in sequences of four steps, each better or worse."""
    chance, followed = seeded("last steps"), Followed()
    for world in range(times(150, scale)):
        shares = chance.uniform(0.4, 1, (SEQUENCES, 1)) ** np.arange(STEPS)
        shares = shares * np.exp(chance.normal(0, 0.3, shares.shape))
        truth = chance.beta(3, 47, (SEQUENCES, 1)) * shares / shares.sum(axis=1, keepdims=True)
        weekly = np.exp(chance.uniform(np.log(10), np.log(500), SEQUENCES))
        weeks = chance.integers(4, WEEKS, SEQUENCES)
        contacts = chance.poisson(weekly * weeks)[:, None].repeat(STEPS, axis=1)
        replies = chance.binomial(contacts, truth)
        before = _seen_steps(contacts, replies)
        more = chance.poisson(weekly)[:, None].repeat(STEPS, axis=1)
        after = _seen_steps(contacts + more, replies + chance.binomial(more, truth))
        followed.add(world, before, after, {*_futile(truth)})
    yield from followed.figures("last_step")


def _seen_steps(contacts: Counts, replies: Counts) -> Seen:
    sequence, step = (index.ravel() for index in np.indices(contacts.shape))
    _fill(
        "sequence_steps",
        "step::INTEGER AS step, 'EMAIL' AS channel, sends, step_reply_rate_num, sends AS step_reply_rate_den",
        pd.DataFrame(
            {"sequence": sequence, "step": step + 1, "sends": contacts.ravel(), "step_reply_rate_num": replies.ravel()}
        ),
    )
    return Seen(_said("last_step"), {*_futile(replies / contacts.clip(1))})


def _futile(found: Floats) -> Iterator[tuple[str, int]]:
    """Yield the sequences whose last step brings fewer replies than the earlier ones on average."""
    return (("last_step", sequence) for sequence in np.flatnonzero(found[:, -1] < found[:, :-1].mean(axis=1)).tolist())


def no_new_contacts(scale: float) -> Iterator[Figure]:
    """Measure the finding of no new contacts, where one sequence in ten runs out of contacts within half a year."""
    chance, followed = seeded("few contacts"), Followed()
    weeks = 26
    day = np.arange(7 * weeks)
    for world in range(times(200, scale)):
        weekly = np.exp(chance.uniform(np.log(0.5), np.log(50), SEQUENCES))
        ends = np.where(chance.random(SEQUENCES) < 0.1, chance.integers(6, weeks, SEQUENCES), weeks) * 7
        touched = chance.poisson(weekly[:, None] / 5 * (day % 7 < 5) * (day < ends[:, None]))
        until = 7 * int(chance.integers(12, weeks))
        before, after = (_seen_contacts(touched[:, :days]) for days in (until, until + 7))
        followed.add(world, before, after, {("no_new_contacts", int(each)) for each in np.flatnonzero(ends <= until)})
    yield from followed.figures("no_new_contacts")


def _seen_contacts(touched: Counts) -> Seen:
    sequence, day = (index.ravel() for index in np.indices(touched.shape))
    of_process().known_until(FIRST_DAY + timedelta(days=touched.shape[1]))
    _fill(
        "sequence_daily",
        f"DATE '{FIRST_DAY}' + day::INTEGER AS day, touched AS unique_touched",
        pd.DataFrame({"sequence": sequence, "day": day, "touched": touched.ravel()}),
    )
    said = _said("no_new_contacts")
    return Seen(said, said)


def _fill(table: str, columns: str, given: pd.DataFrame) -> None:
    """Replace the rows of a table that a finding reads."""
    connection = of_process().connection
    connection.register("given", given)
    connection.execute(f"DELETE FROM engagement.{table}")  # noqa: S608 - our own names
    connection.execute(
        f"INSERT INTO engagement.{table} BY NAME SELECT id_of(sequence) AS sequence_template_id, {columns} FROM given"  # noqa: S608
    )
    connection.unregister("given")


def counted(kind: str, _scale: float) -> Iterator[Figure]:
    """Say why a kind is not simulated."""
    yield Figure(f"finding {kind}", None, reason=COUNTED[kind])


PARTS = (
    changes,
    comparisons,
    last_steps,
    no_new_contacts,
    *(partial(counted, kind) for kind in KINDS if kind in COUNTED),
)
