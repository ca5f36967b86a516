"""Every sentence of the report in simulated workspaces: is it true?

The product lands every activity, builds its tables and writes the page, the Monday message and what `status` says
(`pages`). Their text is read again, sentence by sentence (`reading`, `forms`), and compared with what is true in the
workspace (`judge`, `truth`). A sentence of an unknown form counts as untrue, so a new sentence needs a form.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil, sqrt
from typing import Any
from uuid import UUID

import numpy as np

from bench.calibration.figures import Figure, share, times
from bench.calibration.forms import FORMS, LISTED
from bench.calibration.judge import CHANGE_COLUMN, UNKNOWN, Cases, Judge
from bench.calibration.pages import Simulated, Written, written
from bench.calibration.ranking import WORLDS as RANKED
from bench.calibration.reading import Form, Page, Text, sentences, valued
from bench.calibration.signals import QUIET
from bench.calibration.truth import WINDOW, Truth
from bench.calibration.volumes import HOLIDAYS, STEADY
from bench.calibration.volumes import WEEKS as VOLUME_WEEKS
from bench.calibration.worlds import (
    Contacts,
    Counts,
    Floats,
    Plan,
    around_holiday,
    plan,
    reply_times,
    seeded,
    simulate,
    workspace,
)
from topo_pipeline.engagement.comparison import compare_all, contacts_needed
from topo_pipeline.engagement.rules import DEFAULT_RULES


def _methods(forms: dict[str, Any]) -> dict[Form, Any]:
    return {Form(form): how for form, how in forms.items()}


_SENTENCES, _LINES = _methods(FORMS), _methods(LISTED)


@dataclass
class Reader:
    """Reads the reports of one simulated workspace, one after the other, and judges them.

    Attributes:
        simulated: The workspace.
        cases: Where the verdicts go.
        world: Identifies the workspace.
        is_quiet: Whether no rate changes there.
    """

    simulated: Simulated
    cases: Cases
    world: Any
    is_quiet: bool
    before: list[str] | None = None
    rankable: Counts = field(default_factory=lambda: np.array([]))
    changes: dict[int, str] = field(default_factory=dict)
    differences: dict[Any, list[bool]] = field(default_factory=lambda: defaultdict(list))
    weeks: set[Any] = field(default_factory=set)

    def read(self, report: Written) -> None:
        """Judge a report."""
        judge = Judge(Truth(self.simulated, report.today), self.cases, self.world, self.is_quiet)
        page = Page(report.html)
        judge.before, judge.rankable_before, judge.changes_before = self.before, self.rankable, self.changes
        judge.changes_now = {
            text.sequence: text.text
            for text in page.texts
            if text.sequence is not None and (text.section, text.tag, text.column) == ("sequences", "td", CHANGE_COLUMN)
        }
        if page.data["compared"]:
            judge.first = int(page.data["compared"]["rates"][0].partition(":")[0].strip("\u2068\u2069")[-2:])
        week = None
        for text in page.texts:
            judge.at = text
            if text.section == "sequences" and text.tag == "td" and text.sequence is not None:
                judge.cell(text)
            elif text.section == "workspace" and "–" in text.text and text.tag == "th":
                week = text.text
            elif text.section == "workspace" and text.column == 3 and week and "%" in text.text:  # noqa: PLR2004
                self._week(judge, week, text.text)
            elif text.section in {"do", "replies", "since"} or (text.section == "one" and text.tag == "dd"):
                self._text(judge, text)
            elif text.section == "one" and text.kind == "about":
                self._line(judge, text.text)
        judge.at = None
        self._pairs(judge, page)
        for line in [*report.message.splitlines(), *report.status]:
            self._sentences(judge, re.sub(r"^\d+\. ", "", line))
        judge.fact({*report.status} <= {*_claims_and_actions(page)}, f"status: {report.status}")
        judge.board(report.board)
        self._finish(judge)
        self.before, self.rankable, self.changes = judge.claims, judge.rankable, judge.changes_now

    def end(self) -> None:
        """Judge what is said to hold each week."""
        for (first, second), inside_each in self.differences.items():
            self.cases.add(
                "difference of two, range for every week", not all(inside_each), (self.world, first), str(second)
            )

    def _text(self, judge: Judge, text: Text) -> None:
        if text.tag == "p" and text.kind in {"big"} or text.tag in {"li"}:
            self._line(judge, text.text.removeprefix("⚠ "))
        elif text.tag in {"p", "dd"} and "about" not in text.kind:
            if text.kind == "claim":
                judge.claims.append(text.text)
            self._sentences(judge, text.text.removesuffix(" How this is judged"))

    def _sentences(self, judge: Judge, text: str) -> None:
        for how, values in sentences(text, _SENTENCES):
            self._judge(judge, how, values)

    def _line(self, judge: Judge, text: str) -> None:
        for how, values in sentences(text, _LINES):
            self._judge(judge, how, values)

    def _judge(self, judge: Judge, how: Any, values: dict[str, Any]) -> None:
        if how is False:
            judge.cases.add(UNKNOWN, True, self.world, values["said"])  # noqa: FBT003
            return
        judge.cases.add(UNKNOWN, False, self.world)  # noqa: FBT003
        if how is not None:
            name, more = how if isinstance(how, tuple) else (how, {})
            getattr(judge, name)(**values | more)

    def _week(self, judge: Judge, week: str, text: str) -> None:
        likely = re.search(r"[\d.]+–[\d.]+%", text)
        if likely and week not in self.weeks and "⚠" not in text:
            self.weeks.add(week)
            judge.week_range(valued("days", week), valued("r", likely[0]))

    def _pairs(self, judge: Judge, page: Page) -> None:
        data = page.data["compared"]
        if not data:
            return
        numbers = [int(re.search(r"Sequence (\d\d)", each)[1]) for each in data["rates"]]
        pairs = [(one, other) for at, one in enumerate(numbers) for other in numbers[at + 1 :]]
        for (first, second), row in zip(pairs, data["pairs"], strict=True):
            form, *values = row.split(" ")
            said = data["forms"][int(form)].replace("{}", "\0")
            for value in values:
                said = said.replace("\0", value, 1)
            judge.pair(first, second, said, seen=self.differences)

    def _finish(self, judge: Judge) -> None:
        if judge.is_judged:
            self.cases.add(
                "a Monday with up or down (any place)", any(judge.changes), self.world, str(judge.truth.today)
            )
        for word, sequence, said in judge.pending_needs:
            kind = "enough contacts to detect twice or half the rate every week (one and the others)"
            judge.likely(kind, (word, sequence) in judge.findings, sequence, said)


def _claims_and_actions(page: Page) -> Iterator[str]:
    claim = ""
    for text in page.texts:
        if text.kind == "claim":
            claim = text.text
        elif text.kind == "action":
            yield f"{claim} {text.text.partition(' Look at the sequence')[0]}"


SHARE = 0.4  # of the usual number of contacts, so that a report takes seconds
MONDAYS = (24, 25)  # whose reports are read, in weeks
CHANGES_IN = 20  # the week in which a change or a holiday of two weeks begins
AFTER_CHANGE = (22, 25)  # the Mondays of its reports; on the first, a change is hardest to see
_FALLS = {0: 500.0, 1: 200.0, 2: 100.0}  # contacts a week of the sequences that fall to half, by their number


def _simulated(chance: np.random.Generator, how: Plan, **more: Any) -> Simulated:
    """Return the workspace of a plan, with the true chance of each contact."""
    contacts = simulate(chance, how)
    if missing := more.get("missing"):
        keep = ~np.isin(np.floor(contacts.touched), [*missing])
        contacts = replace(contacts, **{name: getattr(contacts, name)[keep] for name in _OF_CONTACTS})
    week = (contacts.touched // 7).astype(int)
    rates = contacts.rates[contacts.sequence, week]
    is_steady = how.variation or how.common_variation
    lasting = np.array(how.rates)[contacts.sequence] if is_steady else rates
    kept = 1.0 if how.holiday is None else _come(chance, contacts.touched, 7.0 * how.holiday)
    untracked = frozenset({how.weeks % len(how.rates)})
    begins = 7 * (how.changes_in if how.holiday is None else how.holiday)
    slow = range(begins, begins + 42 if how.holiday is not None else 7 * how.weeks + 1)
    is_slow, is_changed = how.slower != 1 or how.holiday is not None, bool(how.factors)
    return Simulated(
        contacts,
        rates * kept,
        lasting * kept,
        untracked=untracked,
        slow=slow if is_slow else range(0),
        changed=range(begins, begins + 84) if is_changed else range(0),
        **more,
    )


_OF_CONTACTS = ("sequence", "touched", "replied", "met")


def _come(chance: np.random.Generator, touched: Floats, holiday: float) -> Floats:
    """Return the share of replies that a holiday leaves within 30 days, by the day of the first message."""
    day = np.floor(touched).astype(int)
    found = np.ones(day.max() + 1)
    for each in range(max(0, int(holiday) - WINDOW), len(found)):
        begun = np.full(2000, each + 0.52)
        at = around_holiday(chance, reply_times(chance, begun, np.ones(2000), np.ones(2000)), holiday)
        found[each] = (at - begun <= WINDOW).mean()
    return found[day]


def _usual(chance: np.random.Generator, share: float = SHARE, **changes: Any) -> Plan:
    how = plan(chance, max(MONDAYS))
    return replace(how, volumes=[share * each for each in how.volumes], **changes)


def _falls(chance: np.random.Generator) -> Simulated:
    """Return a workspace in which three sequences fall from 8% to 4%, half of all replies to them."""
    how = _usual(chance, changes_in=CHANGES_IN)
    volumes = [_FALLS.get(number, each) for number, each in enumerate(how.volumes)]
    rates = [0.08 if number in _FALLS else each for number, each in enumerate(how.rates)]
    factors = tuple(0.5 if number in _FALLS else 1.0 for number in range(len(rates)))
    return _simulated(chance, replace(how, volumes=volumes, rates=rates, factors=factors))


def _drawn(name: str, chance: np.random.Generator) -> Simulated:
    """Return a workspace with the rates of a world of the ranking, and its contacts spread over all weeks."""
    rates, contacts = RANKED[name](chance)
    how = Plan(max(MONDAYS), (contacts / max(MONDAYS)).tolist(), rates.tolist())
    return _simulated(chance, how)


def _steps(chance: np.random.Generator) -> Simulated:
    """Return a workspace whose steps differ: each reply comes within two weeks of the step that it answers."""
    simulated = _simulated(chance, _usual(chance))
    simulated = replace(simulated, steps=(0, 3, 7, 10))
    shares = chance.uniform(0.4, 1, (simulated.sequences, 1)) ** np.arange(len(simulated.steps))
    shares *= np.exp(chance.normal(0, 0.3, shares.shape))
    bounds = (shares / shares.sum(axis=1, keepdims=True)).cumsum(axis=1)
    contacts = simulated.contacts
    step = (chance.random(len(contacts.touched))[:, None] > bounds[contacts.sequence]).sum(axis=1).clip(0, 3)
    at = contacts.touched + np.array(simulated.steps)[step]
    at = at + np.where(np.floor(at) % 7 >= 5, 2, 0) + chance.uniform(0.1, 5, len(at))  # noqa: PLR2004
    replied = np.where(np.isnan(contacts.replied), np.nan, at)
    met = np.where(np.isnan(contacts.met), np.nan, replied + 0.5)
    return replace(simulated, contacts=replace(contacts, replied=replied, met=met), step=step)


def _runs_out(chance: np.random.Generator) -> Simulated:
    """Return a workspace in which sequences get no more contacts, one stops sending, and one is archived."""
    simulated = _simulated(chance, _usual(chance))
    contacts, ends = simulated.contacts, np.full(simulated.sequences, np.inf)
    ends[:6] = 7 * (max(MONDAYS) - np.arange(1, 7)) + 3
    stops = {6: 7 * max(MONDAYS) - 16, 7: 7 * max(MONDAYS) - 9}
    ends[[*stops]] = [*stops.values()]
    keep = contacts.touched < ends[contacts.sequence]
    contacts = replace(contacts, **{name: getattr(contacts, name)[keep] for name in _OF_CONTACTS})
    chances = {"chance": simulated.chance[keep], "lasting": simulated.lasting[keep]}
    return replace(simulated, contacts=contacts, **chances, stops=stops, statuses={8: "ARCHIVED"})


def _volumes(holidays: tuple[int, ...], chance: np.random.Generator) -> Simulated:
    """Return a workspace whose sequences send as those of the volumes: steadily, in batches, growing and so on.

    Each contact gets one message. A steady sequence sends half in the last week, and a growing one nothing on a day.
    """
    days = 7 * max(MONDAYS)
    means = np.repeat([[10.0], [30.0]], 7 * VOLUME_WEEKS, axis=1) * (np.arange(7 * VOLUME_WEEKS) % 7 < 5)  # noqa: PLR2004
    counts = np.concatenate([chance.poisson(rates(means, chance)) for rates in STEADY.values()])[:, :days]
    counts[1, -7:] //= 2
    counts[7, -4] = 0
    counts[:, [day for day in holidays if day < days]] = 0
    sequence, day = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices(counts.shape))
    touched = day + chance.uniform(8, 17, len(day)) / 24
    rates = chance.beta(3, 47, len(counts))
    rate = rates[sequence]
    replied = reply_times(chance, touched, rate, np.ones(len(day)))
    contacts = Contacts(sequence, touched, replied, np.full(len(day), np.nan), np.outer(rates, np.ones(max(MONDAYS))))
    return Simulated(contacts, rate, rate, steps=(0,))


def _here(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of a world of the signals, in the week in which changes begin here."""
    return changes | ({"changes_in": CHANGES_IN, "share": 1.0} if "changes_in" in changes else {})


# Every world of the calibration, and one with a day that was never read. The share of Mondays with a false signal is
# the target of the same world in `signals`.
WORLDS: dict[str, Callable[[np.random.Generator], Simulated]] = {
    "steady": lambda chance: _simulated(chance, _usual(chance)),
    **{
        name: partial(lambda changes, chance: _simulated(chance, _usual(chance, **changes)), _here(changes))
        for name, changes in {
            **{name: changes for name, (changes, *_) in QUIET.items() if changes},
            "a holiday of two weeks": {"holiday": CHANGES_IN, "share": 1.0},
            "rates drift by 5% a week": {"drift": 0.05},
            "rates change for good now and then": {"jumps": 0.03, "common_jumps": 0.02},
        }.items()
    },
    "three sequences fall from 8% to 4%": _falls,
    **{name: partial(_drawn, name) for name in RANKED if name != "20 sequences"},
    "steps differ": _steps,
    "sequences run out of contacts": _runs_out,
    "volumes vary": partial(_volumes, ()),
    "volumes vary, holidays": partial(_volumes, HOLIDAYS),
    "a day was never read": lambda chance: _simulated(
        chance, _usual(chance), missing=frozenset({7 * max(MONDAYS) - 18})
    ),
}
_LIMITS = {name: at_most for name, (_, at_most, _) in QUIET.items()} | {"a holiday of two weeks": 0.15}
_CHANGES_AT_ONCE = {
    "a holiday of two weeks", "three sequences fall from 8% to 4%",
    *(name for name, (changes, *_) in QUIET.items() if "changes_in" in changes),
}  # fmt: skip


def days(world: str) -> list[int]:
    """Return the days on which the reports of a world are written: Mondays, and first of all a Thursday."""
    mondays = [7 * week for week in (AFTER_CHANGE if world in _CHANGES_AT_ONCE else MONDAYS)]
    return [3, 35, *mondays] if world == "steady" else mondays


def reports(scale: float) -> Iterator[Figure]:
    """Judge every sentence of the reports in every world."""
    every, by_world = Cases(), {}
    for world, make in WORLDS.items():
        by_world[world], chance = Cases(), seeded(f"sentences {world}")
        for number in range(times(1, scale)):
            simulated = make(chance)
            is_quiet = world in QUIET and not QUIET[world][0].keys() & {"slower", "factors"}
            reader = Reader(simulated, by_world[world], (world, number), is_quiet)
            for report in written(simulated, days(world)):
                reader.read(report)
            reader.end()
        every.include(by_world[world])
    yield from every.figures()
    for world, cases in by_world.items():
        yield from cases.figures(world)


def needed(scale: float) -> Iterator[Figure]:
    """Measure how often the better of two sequences is named: one has twice the rate, both the contacts needed."""
    chance, detected = seeded("needed"), defaultdict(list)
    pairs = [(str(UUID(int=number)), str(UUID(int=number + 1))) for number in range(0, 20, 2)]
    for _ in range(times(30, scale)):
        rate = chance.uniform(0.03, 0.1)
        rates = np.tile([rate, 2 * rate], len(pairs))
        for more, looks in ((1.0, "one look"), (1.7, "looks every week, with 70% more")):
            size = ceil(more * contacts_needed(rate, 2)["higher"])
            workspace().rate([(int(replies), size) for replies in chance.binomial(size, rates)])
            found = compare_all(workspace().connection, [each for pair in pairs for each in pair], DEFAULT_RULES)
            detected[looks].append(
                [bool((found[pair].high or 0) < 0 if more == 1 else found[pair].weekly_high < 0) for pair in pairs]
            )
    for looks, cases in detected.items():
        figure = share(f"sentences: the contacts needed detect twice the rate in {looks}", cases)
        low = 0.8 - 2 * max(figure.error or 0, sqrt(0.16 / figure.cases))
        yield replace(figure, low=low)


PARTS = (reports, needed)
