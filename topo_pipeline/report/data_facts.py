"""What the report says about its data: which days it covers, and what is missing or left out."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from topo_pipeline.common.text import counted, percent
from topo_pipeline.engagement.sentences import day
from topo_pipeline.report.formats import count, listed, short_day
from topo_pipeline.warehouse.sql import Row


@dataclass(frozen=True)
class Fact:
    """One fact about the data. `ok` is False if it limits what the page can say."""

    text: str
    ok: bool = True


def facts(quality: Row) -> list[Fact]:
    """Return the facts about the data."""
    if quality["first_day"] is None:
        return [Fact("No day has been read yet", ok=False)]
    as_of = quality["as_of"] or quality["last_known_day"]  # without any sequence, no table has a day
    found = [
        Fact(f"As of the end of {day(as_of)}")
        if as_of
        else Fact("No day is both over and proved complete yet", ok=False),
        *_unread(quality),
        Fact(_days("not proved complete", quality["unproved"]), ok=False)
        if quality["unproved"]
        else Fact("Every day proved complete"),
        Fact(f"{count(quality['pending'])} of {counted(quality['replies'], 'reply', 'replies')} not classified yet")
        if quality["pending"]
        else Fact("Every reply is classified"),
    ]
    if quality["not_built"]:
        found.append(Fact(_days("not in the tables yet", quality["not_built"][::-1]), ok=False))
    if quality["cohort_days_left_out"]:
        left_out = f"Contacts of {counted(quality['cohort_days_left_out'], 'day')} are in no rate"
        found.append(Fact(f"{left_out}: a day in their time to reply was not read in full", ok=False))
    for reason, runs in (
        ("may have begun before the first day that was read", quality["left_censored"]),
        ("may have begun on a day that was not read in full", quality["start_uncertain"]),
    ):
        if runs:
            found.append(Fact(f"{percent(runs / quality['runs'])} of all contacts {reason}: they are in no reply rate"))
    if quality["touches_without_sequence"]:
        touches = counted(quality["touches_without_sequence"], "message or invitation", "messages and invitations")
        found.append(Fact(f"{touches} without a sequence: in totals, not in the list of sequences"))
    if quality["unreadable"]:
        found.append(Fact(f"{counted(quality['unreadable'], 'row')} could not be read", ok=False))
    return found


def _unread(quality: Row) -> Iterator[Fact]:
    """Say which days up to the last one that was due were not read."""
    missing, behind, due = quality["days_missing"], quality["days_behind"], day(quality["last_due_day"])
    if missing:
        yield Fact(f"{counted(missing, 'day')} missing since {day(quality['first_day'])}", ok=False)
    if behind:
        newest = f"{due} was" if behind == 1 else f"{counted(behind, 'day')} up to {due} were"
        yield Fact(f"{newest} not read", ok=False)
    if not missing and not behind:
        yield Fact(f"Every day since {day(quality['first_day'])} was read")


def _days(what: str, affected: list[date]) -> str:
    return f"{counted(len(affected), 'day')} {what}: {listed([short_day(each) for each in affected])}"
