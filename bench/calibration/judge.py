"""Is a sentence of the report true? Each form of a sentence has a method, called with the values in it.

A sentence that states a fact (a count, a date, a past rate, a name) may never be untrue. One that says how sure it is
may be untrue in the share of cases that it admits.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt
from typing import Any

import numpy as np

from bench.calibration.figures import Figure, ratio_error
from bench.calibration.pages import called, day_of
from bench.calibration.ranking import shrunken
from bench.calibration.reading import Text, valued
from bench.calibration.truth import WINDOW, Truth
from bench.calibration.worlds import Counts, Floats

FACT = "counts, dates and names"
UNKNOWN = "of no known form"
# The share of sentences of each kind that may be untrue, by what they say of themselves.
ALLOWED = {
    FACT: 0.0,
    UNKNOWN: 0.0,
    "early read, likely range": 0.05,
    "early read, likely range, all sequences": 0.05,
    "final rate, likely range": 0.05,
    "final rate, likely range, all sequences in a week": 0.05,
    "rate within 14, 7 or 3 days, likely range": 0.05,
    "very likely does better or worse than the others": 0.05,
    "replies to a sequence have gone up or down (a finding)": 0.2,
    "fewer or more replies than usual (a finding)": 0.2,
    "a Monday with up or down (any place)": 0.05,
    "no clear change, after a fall to half that would be noticed": 0.2,
    "the last step brings almost nothing": 0.05,
    "email tracking seems to be off": 0.05,
    "nothing to do": 0.2,
    "very likely above the next or below the first": 0.05,
    "likely above the next or below the first": 0.2,
    "the chance that it is the best is at least 80%": 0.2,
    "difference of two, range for every week": 0.05,
    "has the higher reply rate (of two)": 0.05,
    "very likely ahead, not decided (of two)": 0.05,
    "likely ahead, not decided (of two)": 0.2,
    "still to come, 80% range": 0.2,
    "still to come, 80% range, all sequences": 0.2,
    "enough contacts to detect twice or half the rate every week (of two)": 0.2,
    "enough contacts to detect twice or half the rate every week (one and the others)": 0.2,
}
EXPECTED = {"replies expected of four weeks": 0.05, "still to come, about": 0.03}  # and by how much sums may be off
GROUPS = 5  # of cases, below which their share has no verdict
FEW = 30  # contacts, below which nothing is ranked or compared
CHANGE_COLUMN = 9  # of the list of sequences
CHANGED = 1.05  # the least change, as a factor, that makes "have gone up" true
_HORIZON = re.compile(
    r"(?:fewer than 1|about ([\d,]+)) in the next (\d+) days"
    r"(?: \(80% range ([\d,]+)–([\d,]+), right \d+ of the last \d+ times\))?"
)
_NAMED = re.compile(r"Sequence (\d\d)")
_MOVED = re.compile(r"Sequence (\d\d)\u2069? \(was ([^,]+), is ([^)]+)\)")
_RATE = re.compile(r"(?:([\d.]+%) ([\d.]+–[\d.]+%) )?([\d,]+) of ([\d,]+)(?: so far)? · (final|early read|no rate yet)")
_PAIR = re.compile(
    r"Difference, \{first\} minus \{second\}: (?P<difference>\S+) points, likely range (?P<low>\S+) to (?P<high>\S+?),"
    r" which holds if you check every week\.\n(?P<verdict>[^\n]+)\n(?:"
    r"Contacts that each needs, to detect a difference in 4 of 5 cases if you look once:"
    r"(?: (?P<twice>[\d,]+) if one has twice their common rate)?(?: or)?"
    r"(?: (?P<half>[\d,]+) if one has half their common rate)?\. If you look every week, it takes about 70% more\."
    r"|Neither has a reply, so the number of contacts needed is unknown\.)"
)


@dataclass
class Cases:
    """What was said: for each kind and group (cases that depend on each other), whether each sentence was untrue."""

    untrue: dict[str, dict[Any, list[bool]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    sums: dict[str, dict[Any, list[tuple[float, float]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: str, is_untrue: bool, group: Any, said: str = "") -> None:
        """Add a sentence."""
        if kind not in ALLOWED:
            raise ValueError(f"no share of untrue sentences is allowed for: {kind}")
        self.untrue[kind][group].append(bool(is_untrue))
        if is_untrue:
            self.examples[kind].append(said)

    def include(self, other: "Cases") -> None:
        """Add the cases of another world."""
        for mine, theirs in ((self.untrue, other.untrue), (self.sums, other.sums)):
            for kind, groups in theirs.items():
                for group, found in groups.items():
                    mine[kind][group] += found  # type: ignore[index]
        for kind, found in other.examples.items():
            self.examples[kind] += found

    def figures(self, world: str = "all worlds") -> Iterator[Figure]:
        """Return the share of untrue sentences of each kind. Two standard errors above what is allowed are met.

        The cases of one workspace depend on each other, so a few groups of them have no verdict, unless none may be
        untrue.
        """
        for kind, allowed in ALLOWED.items():
            groups = [*self.untrue[kind].values()]
            if groups:
                untrue, sizes = [sum(group) for group in groups], [len(group) for group in groups]
                said = sum(sizes)
                error = max(ratio_error(untrue, sizes), sqrt(allowed * (1 - allowed) / said))
                reason = "; ".join(dict.fromkeys(self.examples[kind][:2])) if kind in {FACT, UNKNOWN} else ""
                what = f"sentences, {world}: {kind}, untrue where {100 * allowed:.0f}% may be"
                limit = (None if len(groups) < GROUPS else allowed + 2 * error) if allowed else 0.0
                yield Figure(what, sum(untrue) / said, high=limit, cases=said, reason=reason)
        for kind, allowed in EXPECTED.items():
            groups = [*self.sums[kind].values()]
            if len(groups) >= GROUPS:
                came, expected = np.array([np.sum(group, axis=0) for group in groups]).T
                error = ratio_error(came, expected)
                value = abs(float(came.sum() / expected.sum()) - 1)
                what = f"sentences, {world}: {kind}, off in sum where {100 * allowed:.0f}% may be"
                yield Figure(what, value, high=allowed + 2 * error, cases=sum(map(len, groups)))


@dataclass
class Judge:
    """Compares a report with the truth.

    Attributes:
        truth: What is true that morning.
        cases: Where the verdicts go.
        world: Identifies the workspace.
        is_quiet: Whether no rate changes there, so that expected replies come.
        at: The piece of the page that the sentence is in.
    """

    truth: Truth
    cases: Cases
    world: Any
    is_quiet: bool
    at: Text | None = None
    changes: list[bool] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)
    findings: set[tuple[str, int | None]] = field(default_factory=set)
    heard: set[tuple[str, int | None, str]] = field(default_factory=set)
    pending_needs: list[tuple[str, int | None, str]] = field(default_factory=list)
    usual: tuple[int | None, int, float] = (None, 0, 0.0)
    first: int = 0
    before: list[str] | None = None
    rankable_before: Counts = field(default_factory=lambda: np.array([]))
    changes_before: dict[int, str] = field(default_factory=dict)
    changes_now: dict[int, str] = field(default_factory=dict)
    is_judged: bool = False

    def fact(self, is_true: bool, said: str) -> None:
        """Add a sentence that states a fact."""
        where = f" ({called(self.sequence)})" if self.sequence is not None else ""
        self.cases.add(FACT, not is_true, self.world, f"{said}{where} on day {self.truth.today}")

    def likely(self, kind: str, is_true: bool, sequence: int | None = None, said: str = "") -> None:
        """Add a sentence that says how sure it is."""
        if (kind, sequence, said) not in self.heard:  # the same is said in several places
            self.heard.add((kind, sequence, said))
            self.cases.add(kind, not is_true, (self.world, sequence), said)

    @property
    def here(self) -> int:
        """The number of the sequence that the piece of the page is about, where it is about one."""
        if self.sequence is None:
            raise ValueError(f"about no sequence: {self.at}")
        return self.sequence

    @property
    def sequence(self) -> int | None:
        """The sequence that the piece of the page is about."""
        return self.at.sequence if self.at else None

    # ---- findings ----

    def unknown_days(self, *, number: float, said: str) -> None:
        """Judge "2 days of the last 30 were not read in full"."""
        self.fact(number == sum(day >= self.truth.today - WINDOW for day in self.truth.missing), said)

    def changed(self, *, way: str, came: float, expected: float, said: str, sequence: int) -> None:
        """Judge "Replies to X have gone down: 3 where about 9 were expected"."""
        self._signal(way, sequence)
        is_true = self._has_changed(way, sequence)
        self.likely("replies to a sequence have gone up or down (a finding)", is_true, sequence, said)
        self.fact(came == self._current_replies(sequence), said)

    def changed_all(self, *, more: str, said: str, **_: Any) -> None:
        """Judge "Fewer replies than usual: 363 so far": fewer come, or they come later."""
        self.likely("fewer or more replies than usual (a finding)", self._is_unusual(more), None, said)
        self.changes.append(not self._is_unusual(more))

    def _is_unusual(self, more: str) -> bool:
        is_slow = self.truth.today in self.truth.simulated.slow
        return self._has_changed("up" if more == "More" else "down", None) or (more == "Fewer" and is_slow)

    def _has_changed(self, way: str, sequence: int | None) -> bool:
        change = self.truth.change(sequence, self.truth.today // 7 * 7)
        return change >= CHANGED if way == "up" else change <= 1 / CHANGED

    def _signal(self, way: str, sequence: int | None) -> None:
        self.changes.append(not self._has_changed(way, sequence))

    def _current_replies(self, sequence: int | None) -> int:
        monday = self.truth.today // 7 * 7
        which = self.truth.own(sequence) & self.truth.whole & self.truth.between(monday - 28, monday - 1)
        return int((which & (self.truth.comes[0] < monday)).sum())

    def compared(self, *, sequence: int, word: str, rate: float, others: float, said: str) -> None:
        """Judge "X very likely does better than the others": its newest contacts against the newest of the others."""
        truth = self.truth
        own, newest = truth.own(sequence), truth.between(truth.today - 28, truth.today - 1)
        if not (own & newest).any():  # it has no new contacts, so what it does is what its last ones did
            last = truth.day[own & (truth.day < truth.today)].max()
            newest = newest | (own & truth.between(last - 27, last))
        here, there = truth.rate(own & newest), truth.rate(~own & newest)
        is_true = here > there if word == "better" else here < there
        self.likely("very likely does better or worse than the others", is_true, sequence, said)
        sizes, replies = truth.by_sequence
        elsewhere = np.delete(replies, sequence).sum() / max(np.delete(sizes, sequence).sum(), 1)
        self.fact(near(rate, replies[sequence] / max(sizes[sequence], 1)) and near(others, elsewhere), said)
        self.findings.add((word, sequence))

    def compared_evidence(self, *, came: float, n: float, likely: Any, others: float, of: float, said: str) -> None:
        """Judge the numbers of the comparison with the others."""
        sequence = self._of_claim()
        sizes, replies = self.truth.by_sequence
        self.fact((came, n) == (replies[sequence], sizes[sequence]), said)
        self.fact((others, of) == (np.delete(replies, sequence).sum(), np.delete(sizes, sequence).sum()), said)
        self._final_range(sequence, likely)

    def newest_evidence(self, *, n: float, likely: Any, said: str, **_: Any) -> None:
        """Judge the early read of a sequence that does better."""
        sequence = self._of_claim()
        self.fact(n == self.truth.newest(sequence).sum(), said)
        self._early_range(sequence, likely)

    def _of_claim(self) -> int:
        return next(number for number in range(self.truth.simulated.sequences) if called(number) in self.claims[-1])

    def changed_evidence(self, *, n: float, monday: int, said: str, **_: Any) -> None:
        """Judge the contacts of a finding of a change. Those of all sequences are of the comparable ones."""
        named = [number for number in range(self.truth.simulated.sequences) if called(number) in self.claims[-1]]
        which = self.truth.between(monday - 28, monday - 1) & self.truth.whole
        self.fact(monday == self.truth.today // 7 * 7, said)
        if named:
            self.fact(n == (which & self.truth.own(named[0])).sum(), said)
        else:
            self.fact(n <= which.sum(), said)

    def went_down(self, *, said: str) -> None:  # noqa: ARG002
        """Judge that replies to the sequence of a comparison have gone down."""
        self._signal("down", self._of_claim())

    def silent(self, *, sequence: int, waiting: float, said: str, **_: Any) -> None:
        """Judge "X is silent, and 12 contacts are waiting in it"."""
        self.fact(waiting == self._in_progress(sequence), said)

    def _in_progress(self, sequence: int) -> int:
        ends = self.truth.read(self.truth.simulated.ends())
        return int((self.truth.own(sequence) & (self.truth.day < self.truth.today) & ~(ends < self.truth.today)).sum())

    def last_sent(self, *, day: int, n: float, said: str) -> None:
        """Judge when a silent sequence sent something, and that it sent nothing since."""
        sequence = self._of_claim()
        last = self._last_sent(sequence)
        weekdays = [each for each in range(int(last) + 1, self.truth.today) if each % 7 < 5]  # noqa: PLR2004
        self.fact(day == last and len(weekdays) >= n, said)

    def _last_sent(self, sequence: int) -> int:
        sent = self.truth.sent[self.truth.own(sequence)]
        return int(np.floor(np.nanmax(np.where(sent < self.truth.today, sent, np.nan))))

    def last_step(self, *, sequence: int, came: float, n: float, said: str) -> None:
        """Judge "The last step of X brings almost nothing": fewer replies than an earlier one."""
        per_step = self._replies_by_step(sequence)
        is_true = per_step[-1] < per_step[:-1].mean()
        self.likely("the last step brings almost nothing", is_true, sequence, said)
        self.fact((came, n) == self._step(sequence, [len(per_step) - 1]), said)

    def _answered(self) -> Counts:
        simulated = self.truth.simulated
        if simulated.step is not None:
            return simulated.step
        sends, replied = simulated.sends, simulated.contacts.replied
        return np.argmax(np.where(sends <= replied[:, None], np.nan_to_num(sends), -1), axis=1)

    def _replies_by_step(self, sequence: int) -> Floats:
        """Return the true share of contacts that reply to each step, among those who had not replied before.

        Of all contacts that are ever simulated, which are many more than those that the sentence counts.
        """
        answered, own = self._answered(), self.truth.own(None if self.truth.simulated.step is None else sequence)
        sends = self.truth.simulated.sends
        replied = ~np.isnan(self.truth.simulated.contacts.replied)
        reached = [own & ~np.isnan(sends[:, step]) for step in range(sends.shape[1])]
        return np.array(
            [(here & replied & (answered == step)).sum() / max(here.sum(), 1) for step, here in enumerate(reached)]
        )

    def _step(self, sequence: int, steps: list[int]) -> tuple[int, int]:
        """Return the replies to these steps within 14 days, and the contacts who reached them 14 days ago."""
        truth, sends, answered = self.truth, self.truth.simulated.sends, self._answered()
        sends = truth.read(sends)
        came = n = 0
        for step in steps:
            at = sends[:, step]
            here = truth.own(sequence) & (at + 14 <= truth.today)
            for day in truth.missing:
                here &= ~((np.floor(at) <= day) & (np.floor(at) >= day - 14))
            n += int(here.sum())
            came += int((here & (answered == step) & (truth.comes[0] - at <= 14) & truth.replied).sum())
        return came, n

    def earlier_steps(self, *, came: float, n: float, said: str) -> None:
        """Judge the numbers of the steps before the last one."""
        steps = [*range(len(self.truth.simulated.steps) - 1)]
        self.fact((came, n) == self._step(self._of_claim(), steps), said)

    def no_new_contacts(self, *, sequence: int, said: str) -> None:
        """Judge "X got no new contact in two weeks"."""
        newest = self.truth.between(self.truth.today - 14, self.truth.today - 1)
        self.fact(not (self.truth.own(sequence) & newest).any(), said)

    def tracking_off(self, *, sequence: int, said: str) -> None:
        """Judge "Email tracking seems to be off for X"."""
        is_true = sequence in self.truth.simulated.untracked
        self.likely("email tracking seems to be off", is_true, sequence, said)

    def untracked_evidence(self, *, n: float, said: str) -> None:
        """Judge the emails without an open."""
        sent = self.truth.sent[self.truth.own(self._of_claim())]
        self.fact(n == ((sent >= self.truth.today - 28) & (sent < self.truth.today)).sum(), said)

    def unusual_week(
        self, *, n: float | None, days: tuple[int, int], usual: float, said: str, sequence: int | None = None
    ) -> None:
        """Judge the messages of a week, next to the usual number of the four weeks before."""
        self.fact(n is None or n == self._messages(sequence, *days), said)
        self.usual = (sequence, days[0], usual)

    def _messages(self, sequence: int | None, first: int, last: int) -> int:
        sent = np.floor(self.truth.sent[self.truth.own(sequence)])
        return int(((sent >= first) & (sent <= last)).sum())

    def usual_weeks(self, *, said: str) -> None:
        """Judge that the usual number is the mean of the last four weeks without a holiday or an unread day."""
        sequence, monday, usual = self.usual
        weeks = [each for each in range(monday - 56, monday, 7) if self._is_full(each)]
        self.fact(abs(np.mean([self._messages(sequence, each, each + 6) for each in weeks[-4:]]) - usual) <= 1, said)

    def _is_full(self, monday: int) -> bool:
        """Return whether the workspace sent something from Monday to Friday, and every day was read."""
        return all(self._messages(None, day, day) for day in range(monday, monday + 5)) and not any(
            monday <= day < monday + 7 for day in self.truth.missing
        )

    def unusual_day(self, *, n: float | None, day: str, usual: float, said: str, sequence: int | None = None) -> None:
        """Judge a day on which a sequence that always sends sent nothing."""
        [at] = [each for each in range(self.truth.today - 8, self.truth.today) if f"{_short(each)}" == day] or [-1]
        self.fact((n or 0) == self._messages(sequence, at, at), said)
        usual_days = [self._messages(sequence, each, each) for each in range(at - 84, at, 7) if each >= 0]
        self.fact(min(usual_days) - 0.5 <= usual <= max(usual_days) + 0.5, said)

    def nothing(self, *, said: str) -> None:
        """Judge "no difference is large enough to act on": none is that the rules would detect in 4 of 5 cases."""
        sizes, _ = self.truth.by_sequence
        missed = any(
            self.truth.active[number] and sizes[number] >= FEW and sizes[number] >= self._needed(number)
            for number in range(len(sizes))
        )
        self.likely("nothing to do", not missed, None, said)

    def _needed(self, sequence: int) -> float:
        """Return the contacts that it takes to detect that the true rate is twice or half that of the others."""
        own, over = self.truth.own(sequence), self.truth.over
        here, there, others = self.truth.rate(own & over), self.truth.rate(~own & over), int((~own & over).sum())
        if not 0 < there < 0.5 or 0.5 < here / there < 2:  # noqa: PLR2004
            return float("inf")
        other = 2 * there if here > there else there / 2
        n = ((1.96 * sqrt(there * (1 - there)) + 0.84 * sqrt(other * (1 - other))) / (other - there)) ** 2
        return n / (1 - n / others) if n < others else float("inf")

    def too_early(self, *, said: str) -> None:
        """Judge "it is too early to compare the sequences"."""
        self.fact((self.truth.by_sequence[0] >= FEW).sum() < 2, said)  # noqa: PLR2004

    # ---- how many reply ----

    def _final_range(self, sequence: int, likely: tuple[float, float]) -> None:
        rate = self.truth.rate(self.truth.own(sequence) & self.truth.over)
        self.likely("final rate, likely range", inside(rate, likely), sequence, str(likely))

    def _early_range(self, sequence: int | None, likely: tuple[float, float]) -> None:
        if self.truth.today in self.truth.simulated.slow:
            return  # the replies don't come as fast as usual
        kind = "early read, likely range" + (", all sequences" if sequence is None else "")
        self.likely(kind, inside(self.truth.rate(self.truth.newest(sequence)), likely), sequence, str(likely))

    def early(
        self,
        *,
        likely: Any,
        came: float,
        n: float,
        said: str,
        days: Any = None,
        since: Any = None,
        rate: Any = None,
        **_: Any,
    ) -> None:
        """Judge an early read and its counts."""
        truth, newest = self.truth, self.truth.newest(self.sequence)
        self.fact((came, n) == ((newest & truth.replied).sum(), newest.sum()), said)
        if days or since:
            self.fact((days or (since,))[0] == truth.today - 28, said)
        if likely:
            self._early_range(self.sequence, likely)

    def pending(self, *, n: float, said: str) -> None:
        """Judge how many replies of the early read are not classified."""
        pending = self.truth.newest(self.sequence) & self.truth.replied & (self.truth.simulated.categories() == 0)
        self.fact(n == pending.sum(), said)

    def window(self, *, days: float, came: float, n: float, likely: Any, said: str, **_: Any) -> None:
        """Judge the rate within some days, of the contacts who have had them."""
        truth = self.truth
        which = truth.day <= truth.today - days - 1
        in_time = truth.comes[0] - truth.simulated.contacts.touched <= days
        self.fact((came, n) == ((which & in_time & truth.replied).sum(), which.sum()), said)
        # The share of all simulated contacts that reply by then, as no formula has it.
        share = (in_time & ~np.isnan(truth.comes[0])).sum() / max((~np.isnan(truth.comes[0])).sum(), 1)
        self.likely("rate within 14, 7 or 3 days, likely range", inside(truth.rate(which) * share, likely))

    def final_week(
        self,
        *,
        came: float,
        n: float,
        days: tuple[int, int],
        positive: float,
        met: float,
        said: str,
        likely: Any = None,
        **_: Any,
    ) -> None:
        """Judge the last final rate of a week and its counts."""
        truth, which = self.truth, self.truth.between(*days) & self.truth.whole
        met_in_time = truth.comes[1] - truth.simulated.contacts.touched <= WINDOW
        counts = [(which & each).sum() for each in (truth.in_time, truth.positive & truth.in_time, met_in_time)]
        self.fact([came, positive, met, n] == [*counts, which.sum()], said)
        self.fact(days[1] + WINDOW + 1 <= truth.today, said)
        if likely:
            self.week_range(days, likely)

    def week_range(self, days: tuple[int, int], likely: tuple[float, float]) -> None:
        """Judge the range of a week's final rate."""
        rate = self.truth.rate(self.truth.between(*days) & self.truth.whole)
        self.likely("final rate, likely range, all sequences in a week", inside(rate, likely), None, f"{days} {likely}")

    def next_final(self, *, days: tuple[int, int], day: int, said: str) -> None:
        """Judge when the next week is final at the earliest."""
        self.fact(day == days[1] + WINDOW + 1 and day > self.truth.today, said)

    def not_yet(self, *, days: tuple[int, int], day: int, said: str, **_: Any) -> None:
        """Judge when the first week is final at the earliest."""
        self.fact(days == (0, 6) and day == days[1] + WINDOW + 1, said)

    def change_of_all(
        self, *, verdict: str | None, came: float, expected: float, n: float, said: str, **_: Any
    ) -> None:
        """Judge whether replies have changed in all sequences together."""
        verdict = verdict or "No clear change"
        if "up" in verdict or "down" in verdict:
            self.changes.append(not self._is_unusual("More" if "up" in verdict else "Fewer"))
        elif verdict == "No clear change":
            self._verdict("no clear change", said)
        if n == self.truth.simulated.sequences:
            self.fact(came == self._current_replies(None), said)
        self._expected("replies expected of four weeks", came, expected)

    def _has_halved(self, sequence: int | None) -> bool:
        return self.truth.change(sequence, self.truth.today // 7 * 7) <= 0.5  # noqa: PLR2004

    def _expected(self, kind: str, came: float, expected: float) -> None:
        if self.is_quiet and expected:
            self.cases.sums[kind][self.world].append((came, expected))

    def forecast(self, *, outcome: str, said: str, **_: Any) -> None:
        """Judge what is still to come, in 7 and in 30 days."""
        at = self.truth.comes[0 if outcome == "Replies" else 1]
        before = self.truth.own(self.sequence) & (self.truth.day < self.truth.today)
        if self.truth.today in self.truth.simulated.changed or self.truth.today in self.truth.simulated.slow:
            return  # they don't reply as others did before
        kind = "still to come, 80% range" + (", all sequences" if self.sequence is None else "")
        for number, days, low, high in _HORIZON.findall(said):
            to_come = before & (at >= self.truth.today) & (at < self.truth.today + int(days))
            came = int((to_come & (at - self.truth.simulated.contacts.touched <= WINDOW)).sum())
            if low:
                is_true = valued("n", low) <= came <= valued("n", high)
                self.likely(kind, is_true, self.sequence, f"{said} {days}")
            if number and self.sequence is None:
                self._expected("still to come, about", came, valued("n", number))

    def none_to_come(self, *, outcome: str, reason: str, said: str) -> None:
        """Judge "none expected, no contact in flight"."""
        at = self.truth.comes[0 if outcome == "Replies" else 1]
        before = self.truth.own(self.sequence) & (self.truth.day < self.truth.today)
        if reason == "no contact in flight":
            self.fact(not (before & (at >= self.truth.today)).any(), said)

    def lacks(self, *, said: str, learned: float, **_: Any) -> None:
        """Judge how many replies or meetings the early read or forecast has to learn from."""
        truth = self.truth
        at = truth.comes[0 if "replies" in said else 1]
        in_time = at - truth.simulated.contacts.touched <= WINDOW
        self.fact(learned == (truth.over & (truth.day > truth.today - WINDOW - 183) & in_time).sum(), said)

    # ---- since the last report ----

    def new_days(
        self,
        *,
        days: tuple[int, int],
        sent: float,
        touched: float,
        replies: float,
        positive: float | None,
        met: float,
        said: str,
    ) -> None:
        """Judge the counts of the days that are new in the data."""
        self.fact(days[1] == self.truth.today - 1, said)
        found = [self._messages(None, *days), self.truth.between(*days).sum(), *self._came(None, *days)]
        self.fact([sent, touched, replies, positive or 0, met] == found, said)

    def _came(self, sequence: int | None, first: int, last: int) -> list[int]:
        """Return the replies, positive replies and meetings of some days."""
        own, truth = self.truth.own(sequence), self.truth
        days = [(np.floor(at) >= first) & (np.floor(at) <= last) & own for at in truth.comes]
        return [int(each.sum()) for each in (days[0], days[0] & truth.positive, days[1])]

    def corrected(self, *, said: str, **_: Any) -> None:
        """Judge a correction: in a simulated workspace nothing ever changes."""
        self.fact(False, said)  # noqa: FBT003

    # ---- one sequence ----

    def no_rate_yet(self, *, said: str) -> None:
        """Judge "no contact's 30 days are over"."""
        self.fact(self.truth.by_sequence[0][self.sequence] == 0, said)

    def final(self, *, came: float, n: float, rate: float, likely: Any, said: str, **_: Any) -> None:
        """Judge a final rate and its counts."""
        sizes, replies = self.truth.by_sequence
        self.fact((came, n) == (replies[self.sequence], sizes[self.sequence]) and near(rate, came / n), said)
        self._final_range(self.here, likely)

    def counted_days(self, *, first: int, last: int, said: str) -> None:
        """Judge between which days the counted contacts were first messaged."""
        truth, own = self.truth, self.truth.own(self.sequence)
        self.fact((own & truth.over & truth.between(first, last)).sum() == (own & truth.over).sum(), said)

    def ranked(self, *, place: float, n: float, said: str) -> None:
        """Judge the place of a sequence."""
        sizes, replies = self.truth.by_sequence
        adjusted = np.full(len(sizes), -1.0)
        adjusted[sizes > 0] = shrunken(replies[sizes > 0], sizes[sizes > 0])
        adjusted[~self.truth.active] = -1
        above = (adjusted > adjusted[self.sequence] + 1e-9).sum()
        ties = (np.abs(adjusted - adjusted[self.sequence]) <= 1e-9).sum()  # noqa: PLR2004
        self.fact(above < place <= above + ties and n == (adjusted >= 0).sum(), said)

    def best(self, *, said: str) -> None:
        """Judge "the chance that it is the best is at least 80%"."""
        rates = self._rates
        is_true = rates[self.sequence] >= np.nanmax(np.where(self.rankable, rates, np.nan))
        self.likely("the chance that it is the best is at least 80%", is_true, None, said)

    @cached_property
    def _rates(self) -> Floats:
        truth = self.truth
        return np.array([truth.rate(truth.own(each) & truth.over) for each in range(truth.simulated.sequences)])

    @property
    def rankable(self) -> Counts:
        """Which sequences have a rank."""
        return self.truth.active & (self.truth.by_sequence[0] >= FEW)

    def placed(self, *, step: str, other: int, said: str, word: str) -> None:
        """Judge that a sequence is likely above the next or below the first."""
        here, there = self._rates[self.here], self._rates[other]
        kind = f"{step} above the next or below the first"
        self.likely(kind, here > there if word == "above" else here < there, self.here, said)

    def no_rank(self, *, n: float | None, said: str, **_: Any) -> None:
        """Judge why a sequence has no rank."""
        sizes, _replies = self.truth.by_sequence
        is_active = bool(self.truth.active[self.sequence])
        self.fact(sizes[self.sequence] < FEW and sizes[self.sequence] == n if n is not None else not is_active, said)

    def change(self, *, verdict: str | None, came: float, monday: int, expected: float, said: str) -> None:
        """Judge whether the replies of a sequence have changed."""
        self.is_judged = True
        self.fact(monday == self.truth.today // 7 * 7 and came == self._current_replies(self.sequence), said)
        self._expected("replies expected of four weeks", came, expected)
        self._verdict(verdict or said.partition(":")[0], said)

    def _verdict(self, verdict: str, said: str) -> None:
        for way in ("up", "down"):
            if way in verdict:
                self._signal(way, self.sequence)
        if verdict.casefold() == "no clear change" and self._has_halved(self.sequence):
            kind = "no clear change, after a fall to half that would be noticed"
            self.likely(kind, False, self.sequence, said)  # noqa: FBT003
        elif self._has_halved(self.sequence) and "down" in verdict:
            kind = "no clear change, after a fall to half that would be noticed"
            self.likely(kind, True, self.sequence)  # noqa: FBT003

    def more_to_come(self, *, day: int, n: float, said: str) -> None:
        """Judge how many more contacts will have had their 30 days by a day."""
        own, truth = self.truth.own(self.sequence), self.truth
        later = truth.whole & (truth.day < truth.today) & (truth.day > truth.today - WINDOW - 1)
        self.fact(n == (own & later & (truth.day + WINDOW + 1 <= day)).sum(), said)

    def next_counted(self, *, day: int, said: str) -> None:
        """Judge when the next contacts are counted."""
        own, truth = self.truth.own(self.sequence), self.truth
        later = truth.day[own & truth.whole & (truth.day < truth.today) & (truth.day > truth.today - WINDOW - 1)]
        self.fact(bool(len(later)) and day == later.min() + WINDOW + 1, said)

    def ranked_on(self, *, day: int, said: str) -> None:
        """Judge when there are enough contacts for a rank."""
        own, truth = self.truth.own(self.sequence) & self.truth.whole, self.truth
        known = own & (truth.day < truth.today)
        first = [(known & (truth.day + WINDOW + 1 <= each)).sum() for each in (day, day - 1)]
        self.fact(first[0] >= FEW > first[1], said)

    def nothing_to_come(self, *, said: str, **_: Any) -> None:
        """Judge that no contact has still time to reply."""
        own, truth = self.truth.own(self.sequence), self.truth
        self.fact(
            not (own & truth.whole & (truth.day < truth.today) & (truth.day > truth.today - WINDOW - 1)).any(), said
        )

    def needs(self, *, has: float, said: str, **found: Any) -> None:
        """Judge how many contacts it takes to detect a difference from the others, where the true one is as large."""
        sizes, _ = self.truth.by_sequence
        size = int(sizes[self.sequence])
        young = (self.truth.own(self.sequence) & self.truth.between(self.truth.today - WINDOW, self.truth.today)).sum()
        self.fact(size - 0.5 <= has <= size + young + 0.5, said)
        rates = self._others_rates()
        for word, name in (("better", "twice"), ("worse", "half")):
            needed = found.get(name)
            is_so = rates[0] >= 2 * rates[1] if word == "better" else rates[0] <= rates[1] / 2
            if (
                needed is not None
                and is_so
                and 1.7 * needed <= size <= 3.4 * needed
                and self.truth.active[self.sequence]
            ):
                self.pending_needs.append((word, self.sequence, said))

    def _others_rates(self) -> tuple[float, float]:
        own, over = self.truth.own(self.sequence), self.truth.over
        return self.truth.rate(own & over), self.truth.rate(~own & over)

    # ---- the data, and what is short ----

    def as_of(self, *, day: int, said: str) -> None:
        """Judge up to which day the data reaches."""
        self.fact(day == max(set(range(self.truth.today)) - {*self.truth.missing}), said)

    def all_read(self, *, day: int, said: str) -> None:
        """Judge that every day was read."""
        self.fact(day == 0 and not self.truth.missing, said)

    def days_missing(self, *, n: float, day: int, said: str) -> None:
        """Judge how many days were not read."""
        self.fact(day == 0 and n == len(self.truth.missing), said)

    def unclassified(self, *, n: float, of: float, said: str) -> None:
        """Judge how many replies are not classified."""
        truth = self.truth
        run = np.arange(len(truth.day))
        away = np.isnan(truth.simulated.contacts.replied) & (run % 50 == 3) & (truth.day < truth.today)  # noqa: PLR2004
        pending = truth.replied & (truth.simulated.categories() == 0)
        self.fact((n, of) == (pending.sum(), truth.replied.sum() + away.sum()), said)

    def all_classified(self, *, said: str) -> None:
        """Judge that every reply is classified."""
        self.fact(not (self.truth.replied & (self.truth.simulated.categories() == 0)).any(), said)

    def left_out(self, *, n: float, said: str) -> None:
        """Judge how many days are in no rate because a day was not read."""
        truth = self.truth
        last = truth.today - WINDOW - 1
        days = {each for day in truth.missing for each in range(max(0, day - WINDOW), min(day, last) + 1)}
        self.fact(n == len(days), said)

    def at_a_glance(self, *, status: str, n: float, touched: float, said: str, **_: Any) -> None:
        """Judge the status of a sequence and its counts."""
        newest = self.truth.own(self.here) & self.truth.between(self.truth.today - 14, self.truth.today - 1)
        is_status = status.upper() == self.truth.simulated.statuses.get(self.here, "ACTIVE")
        self.fact(is_status and n == self._in_progress(self.here) and touched == newest.sum(), said)

    def same_findings(self, *, said: str) -> None:
        """Judge that no finding is new or gone."""
        self.fact(self.before is not None and {*map(_about, self.before)} == {*map(_about, self.claims)}, said)

    def new(self, *, claim: str, said: str) -> None:
        """Judge that a finding is new."""
        self.fact(f"{claim}." in self.claims and f"{claim}." not in (self.before or []), said)

    def gone(self, *, claim: str, said: str) -> None:
        """Judge that a finding is gone."""
        is_there = _about(f"{claim}.") in map(_about, self.claims)
        self.fact(f"{claim}." in (self.before or []) and not is_there, said)

    def rank_gained(self, *, named: str, said: str) -> None:
        """Judge which sequences have a rank and had none."""
        self._named(named, self.rankable & ~self.rankable_before, said)

    def rank_lost(self, *, named: str, said: str) -> None:
        """Judge which sequences had a rank and have none."""
        self._named(named, self.rankable_before & ~self.rankable, said)

    def _named(self, named: str, true: Counts, said: str) -> None:
        """Judge a list of at most three sequences, and how many others there are."""
        numbers, others = {int(each) for each in _NAMED.findall(named)}, re.search(r" and (\d+) others?$", named)
        count = len(numbers) + (int(others[1]) if others else 0)
        self.fact(numbers <= {*np.flatnonzero(true).tolist()} and count == true.sum(), said)

    def change_moved(self, *, named: str, said: str) -> None:
        """Judge for which sequences the column Change says something else than before."""
        for number, was, now in _MOVED.findall(named):
            self.fact((was, now) == (self.changes_before[int(number)], self.changes_now[int(number)]), said)

    def no_earlier(self, *, said: str) -> None:
        """Judge that there is no earlier report."""
        self.fact(self.before is None, said)

    def more_things(self, *, n: float, said: str) -> None:
        """Judge how many findings are not in the message."""
        self.fact(n == len(self.claims) - 3, said)

    def board(self, rows: Any) -> None:
        """Judge the rows of the list in the terminal."""
        for row in rows:
            sequence = int(row["id"].replace("-", ""), 16)
            own = self.truth.own(sequence)
            counts = [(own & (self.truth.day < self.truth.today)).sum(), *self._came(sequence, 0, self.truth.today - 1)]
            names = ("touched", "replies", "positive", "meetings")
            self.fact([row[name] for name in names] == counts, f"status: {row['sequence']}")
            if row["early_rate"] is not None:
                self._early_range(sequence, _rounded(row, "early_rate"))
            if row["reply_rate"] is not None:
                self._final_range(sequence, _rounded(row, "reply_rate"))

    # ---- lists ----

    def cell(self, text: Text) -> None:
        """Judge a cell of the list of sequences."""
        days = {"p28d": 28, "p90d": 90, "plifetime": self.truth.today}[text.period] if text.period else 0
        period = (self.truth.today - days, self.truth.today - 1)
        if text.column == 1 and text.period:
            self._rate_cell(text)
        elif text.period and text.column in range(3, 8):
            counts = [self._messages(self.here, *period)]
            counts += [(self.truth.own(self.here) & self.truth.between(*period)).sum()]
            counts += self._came(self.here, *period)
            self.fact(valued("n", text.text) == counts[text.column - 3], f"{text.text} in column {text.column}")
        elif not text.period and text.column == 2:  # noqa: PLR2004 - in the list of comparisons with the first
            self._below(text.text)
        elif text.column == CHANGE_COLUMN:
            self._verdict(text.text, text.text)

    def _below(self, said: str) -> None:
        rates, step = self._rates, said.partition(",")[0]
        is_lower = rates[self.sequence] < rates[self.first]
        if said == "no":
            self.likely("has the higher reply rate (of two)", not is_lower, self.sequence, said)
        elif step in {"likely", "very likely"}:
            kind = f"{step} ahead, not decided (of two)" if "," in said else "has the higher reply rate (of two)"
            self.likely(kind, is_lower, self.sequence, said)

    def _rate_cell(self, text: Text) -> None:
        found = _RATE.fullmatch(text.text)
        if found is None:
            self.cases.add(UNKNOWN, text.text != "no contacts", self.world, text.text)
            return
        _rate, likely, came, n, kind = found.groups()
        came, n = valued("n", came), valued("n", n)
        truth = self.truth
        if kind == "early read":
            self.early(likely=valued("r", likely), came=came, n=n, said=text.text)
        elif kind == "final":
            days = 90 if text.period == "p90d" else truth.today
            which = truth.own(text.sequence) & truth.over & (truth.day > truth.today - WINDOW - 1 - days)
            self.fact((came, n) == ((which & truth.in_time).sum(), which.sum()), text.text)
            is_true, likely = inside(truth.rate(which), valued("r", likely)), valued("r", likely)
            self.likely("final rate, likely range", is_true, text.sequence, str(likely))

    def pair(self, first: int, second: int, said: str, *, seen: dict[Any, list[bool]]) -> None:
        """Judge what is said of two sequences."""
        truth, rates = self.truth, self._rates
        found = _PAIR.fullmatch(said)
        if found is None:
            self.cases.add(UNKNOWN, True, self.world, said)  # noqa: FBT003
            return
        low, high = valued("x", found["low"]), valued("x", found["high"])
        difference = rates[first] - rates[second]
        seen[first, second].append(inside(difference, (low, high)))
        sizes, replies = truth.by_sequence
        observed = replies[first] / sizes[first] - replies[second] / sizes[second]
        self.fact(near(valued("x", found["difference"]), observed), found["difference"])
        verdict = found["verdict"]
        if "has the higher" in verdict:
            is_first = verdict.startswith("{first}")
            is_true = difference > 0 if is_first else difference < 0
            self.likely("has the higher reply rate (of two)", is_true, first, said)
        elif "ahead, but" in verdict:
            step = "very likely" if "very likely" in verdict else "likely"
            is_true = difference > 0 if "{first} is" in verdict else difference < 0
            self.likely(f"{step} ahead, not decided (of two)", is_true, first, said)
        least, most = sorted((rates[first], rates[second]))
        size = min(sizes[first], sizes[second])
        if found["twice"] and most >= 2 * least:
            needed = 1.7 * valued("n", found["twice"])  # for somebody who looks every week, as the verdict allows for
            if needed <= size <= 2 * needed:
                kind = "enough contacts to detect twice or half the rate every week (of two)"
                self.likely(kind, "has the higher" in verdict, first, said)


def _about(claim: str) -> str:
    """Return a claim without its numbers: the same finding says other numbers a week later."""
    return re.sub(r"(?<!Sequence )(?<!\d)[\d,.]+%?", "", claim)


def _rounded(row: Any, name: str) -> tuple[float, float]:
    low, high = (round(100 * row[f"{name}_{end}"], 1) / 100 for end in ("low", "high"))
    return low, high


def _short(day: int) -> str:
    at = day_of(day)
    return f"{at:%a} {at.day} {at:%b}"


def near(said: float, true: float) -> bool:
    """Return whether a rounded rate is this one."""
    return abs(said - true) <= 0.00051  # noqa: PLR2004


def inside(rate: float, likely: tuple[float, float]) -> bool:
    """Return whether a range contains the rate. Its ends are rounded to a tenth of a point."""
    return bool(likely[0] - 0.0005 <= rate <= likely[1] + 0.0005)
