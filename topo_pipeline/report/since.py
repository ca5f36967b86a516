"""What moved since an earlier report: the facts of this one, and the differences in words.

New days are counted apart from earlier days whose counts have changed. What the earlier report said is taken from its
kept facts, never from today's tables.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from topo_pipeline.common.text import counted, noun_for, percent
from topo_pipeline.engagement.rules import Rules
from topo_pipeline.engagement.sentences import day
from topo_pipeline.report import queries
from topo_pipeline.report.archive import APART, Counts, Facts, FinalWeek, SaidFinding, SequenceFacts
from topo_pipeline.report.findings import Finding
from topo_pipeline.report.formats import count, days, isolated, listed, range_of, week
from topo_pipeline.report.wording import Said, change
from topo_pipeline.warehouse.sql import Row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SHOWN = 3
"""Findings or sequences that one sentence names."""
_PASSING = {"unusual_volume"}  # about one day or week: next week's is another finding, and none is ever resolved
_NOUNS = {
    "sent": ("message or invitation", "messages and invitations"),
    "touched": ("new contact", "new contacts"),
    "replies": ("reply", "replies"),
    "positive": ("positive reply", "positive replies"),
    "meetings": ("meeting", "meetings"),
}


@dataclass(frozen=True)
class Since:
    """What moved.

    Attributes:
        title: Names the earlier report. None if there is none to compare with.
        new: The claims of the findings that are new, the most important first.
        sentences: Everything else.
    """

    title: str | None
    new: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()

    def lines(self, above: Collection[str] = ()) -> list[str]:
        """Return what moved, without new findings whose claims are already `above`."""
        others = [claim for claim in self.new if claim not in above]
        more = [f"{counted(len(others) - SHOWN, 'more finding is', 'more findings are')} new."]
        new = [f"New: {claim}" for claim in others[:SHOWN]]
        return [*new, *(more if len(others) > SHOWN else []), *self.sentences]


def facts(
    connection: "DuckDBPyConnection", shown: Mapping[str, Any], found: Iterable[Finding], rules: Rules, written: date
) -> Facts:
    """Return what the report says, given what its template shows and its findings."""
    quality, final = shown["quality"], shown["final"]
    said: list[Said] = [*shown["to_do"], *shown["more_to_do"]]
    return Facts(
        written=written,
        first_day=quality["first_day"],
        as_of=quality["as_of"],
        rules=sha256(repr(rules).encode()).hexdigest()[:16],
        counts=_counts(connection, quality["first_day"], quality["as_of"]),
        final=final and FinalWeek(final["week_start"].date(), final["num"], final["den"]),
        findings=tuple(
            SaidFinding(each.kind, each.sequence_id, words.claim) for each, words in zip(found, said, strict=True)
        ),
        sequences={
            id_: SequenceFacts(
                name=shown["names"][id_],
                rank=each.signals["reply_rank"],
                **{column: each.ever[column] for column in ("rate", "low", "high")},
                change=change(each.signals),
            )
            for id_, each in shown["sequences"].items()
        },
    )


def since(
    connection: "DuckDBPyConnection",
    now: Facts,
    then: Facts | None,
    weeks: Iterable[Row],
    unreadable: Iterable[str] = (),
) -> Since:
    """Return what moved between an earlier report and this one.

    Args:
        connection: To count the days of the earlier report again, as they are in the tables now.
        now: The facts of this report.
        then: Those of the earlier one. None if there is none.
        weeks: The final rates of the weeks, as they are now.
        unreadable: The names of kept files that can't be read.
    """
    notes = [f"The kept file {name} can't be read and is left out." for name in unreadable]
    if then is None:
        why = f"No kept report is at least {APART.days} days older, so there is nothing to compare with yet."
        return Since(None, sentences=(*notes, why))
    title, days_added = f"Since the report of {day(then.written)}", _new_days(connection, now, then)
    if now.rules != then.rules:
        why = "The rules or their defaults have changed since then, so rates and findings are not compared."
        return Since(title, sentences=(*days_added, why, *notes))
    new, gone = _findings(now, then)
    others = [*_ranks(now, then), *_changes(now, then), *_corrections(connection, now, then, weeks)]
    return Since(title, tuple(new), (*days_added, *gone, *others, *notes))


def _counts(connection: "DuckDBPyConnection", first: date | None, last: date | None) -> Counts:
    return Counts(**queries.counts(connection, first, last)) if first and last else Counts()


def _new_days(connection: "DuckDBPyConnection", now: Facts, then: Facts) -> list[str]:
    """Say what happened on the days that the earlier report did not cover."""
    if now.as_of is None or then.as_of is None:
        return []
    if now.as_of <= then.as_of:
        until = "It still ends" if now.as_of == then.as_of else f"It ended with {day(then.as_of)} and now ends"
        return [f"No day was added to the data. {until} with {day(now.as_of)}."]
    first = then.as_of + timedelta(days=1)
    found = _counts(connection, first, now.as_of)
    parts = [counted(getattr(found, name), *_NOUNS[name]) for name in ("sent", "touched", "replies", "meetings")]
    parts[2] += f" ({count(found.positive)} positive)" if found.replies else ""
    return [f"New in the data, {days(first, now.as_of)}: {listed(parts)}."]


def _findings(now: Facts, then: Facts) -> tuple[list[str], list[str]]:
    """Return the claims that are new, and sentences about those that are gone or that nothing is new."""
    before, after = ({(each.kind, each.sequence_id): each.claim for each in of.findings} for of in (then, now))
    new = [claim for key, claim in after.items() if key not in before or (key[0] in _PASSING and before[key] != claim)]
    gone = [claim for key, claim in before.items() if key not in after and key[0] not in _PASSING]
    if not new and not gone:  # some that were about one day or week may not be in this report
        same = before.keys() == after.keys()
        return [], ["The findings are the same as in that report." if same else "No finding is new."]
    more = [f"{counted(len(gone) - SHOWN, 'other finding is', 'other findings are')} gone too."]
    return new, [*(f"No longer found: {claim}" for claim in gone[:SHOWN]), *(more if len(gone) > SHOWN else [])]


def _ranks(now: Facts, then: Facts) -> list[str]:
    """Say which sequences have a rank now and had none then, and which no longer have one."""
    before = {id_ for id_, each in then.sequences.items() if each.rank is not None}
    after = {id_ for id_, each in now.sequences.items() if each.rank is not None}
    gained = [each for id_, each in now.sequences.items() if id_ in after - before]
    lost = [isolated(each.name) for id_, each in now.sequences.items() if id_ in before - after]
    rated = [
        f"{isolated(each.name)} ({percent(each.rate)}, likely range {range_of(each.low, each.high)})" for each in gained
    ]
    return [
        *([f"Now with a rank: {listed(rated, SHOWN)}."] if rated else []),
        *([f"Without a rank now: {listed(lost, SHOWN)}."] if lost else []),
    ]


def _changes(now: Facts, then: Facts) -> list[str]:
    """Say for which sequences the column Change begins or ends to say up or down, if no new or gone finding does."""
    said = {each.sequence_id for of in (now, then) for each in of.findings if each.kind in {"up", "down"}}
    moved = [
        f"{isolated(each.name)} (was {before.change}, is {each.change})"
        for id_, each in now.sequences.items()
        if (before := then.sequences.get(id_))
        and each.change != before.change
        and id_ not in said
        and any(word in f"{each.change} {before.change}" for word in ("▲", "▼"))
    ]
    return [f"Change, as in the list of sequences: {listed(moved, SHOWN)}."] if moved else []


def _corrections(connection: "DuckDBPyConnection", now: Facts, then: Facts, weeks: Iterable[Row]) -> Iterator[str]:
    """Say which numbers of the earlier report have changed."""
    if then.first_day and then.as_of and now.as_of and now.as_of >= then.as_of:
        again = _counts(connection, then.first_day, then.as_of)
        moved = [(noun, getattr(again, name) - getattr(then.counts, name)) for name, noun in _NOUNS.items()]
        parts = [
            f"{count(abs(by))} {'more' if by > 0 else 'fewer'} {noun_for(abs(by), *noun)}" for noun, by in moved if by
        ]
        if parts:
            covered = days(then.first_day, then.as_of)
            yield f"Correction: {covered} now has {listed(parts)} than that report said."
    for row in weeks:
        if then.final and row["week_start"].date() == then.final.monday:
            before, after = (then.final.replied, then.final.contacts), (row["num"], row["den"])
            is_now, was = (f"{percent(num / den)} ({count(num)} of {count(den)})" for num, den in (after, before))
            if after != before:
                yield f"Correction: the final rate of {week(then.final.monday)} is now {is_now}, and was {was}."
