"""The report's findings (what to look at) and its facts about the data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from topo_pipeline.common.text import counted, percent
from topo_pipeline.report import attention, words
from topo_pipeline.report.attention import Quality
from topo_pipeline.report.queries import records

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from topo_pipeline.engagement.rules import Rules

EXAMPLES = 5
EVERYTHING = "All sequences"
Labels = Mapping[str, str]
"""The label of each sequence by its id."""


@dataclass(frozen=True)
class Finding:
    """One kind of thing to look at: what it means, and each occurrence as a sequence and a remark."""

    title: str
    meaning: str
    found: list[tuple[str, str]]
    none: str


@dataclass(frozen=True)
class Fact:
    """One fact about the data. `ok` is False if it limits what the page can say."""

    text: str
    ok: bool = True


def findings(connection: "DuckDBPyConnection", rules: "Rules", labels: Labels) -> list[Finding]:
    """Return all kinds of findings, also those without an occurrence."""
    return [
        _silent(connection, rules, labels),
        _tracking(connection, rules, labels),
        _volumes(connection, labels),
        _changes(connection, labels),
    ]


def facts(quality: Quality) -> list[Fact]:
    """Return the facts about the data."""
    if quality.first_day is None:
        return [Fact("No day has been read yet", ok=False)]
    return [
        Fact(f"As of the end of {words.day(quality.as_of)}")
        if quality.as_of
        else Fact("No day is both over and proved complete yet", ok=False),
        *_behind(quality),
        Fact(f"Every day since {words.day(quality.first_day)} has landed")
        if quality.days_missing == 0
        else Fact(f"{counted(quality.days_missing, 'day')} missing since {words.day(quality.first_day)}", ok=False),
        Fact(_unproved(quality.unproved), ok=False) if quality.unproved else Fact("Every day proved complete"),
        *_left_out(quality),
        Fact(_pending(quality)),
        *_in_no_rate(quality),
        *_without_sequence(quality),
        *([Fact(f"{counted(quality.unreadable, 'row')} could not be read", ok=False)] if quality.unreadable else []),
    ]


def _silent(connection: "DuckDBPyConnection", rules: "Rules", labels: Labels) -> Finding:
    return Finding(
        "Silent sequences",
        f"Contacts are waiting, and nothing was sent in {counted(rules.silent_business_days, 'business day')}.",
        [
            (labels[row["sequence_id"]], f"{words.count(row['waiting'])} waiting, {_last_sent(row['last_day'])}")
            for row in records(attention.silent(connection))
        ],
        "None: every active sequence with waiting contacts has sent something recently.",
    )


def _last_sent(last: date | None) -> str:
    return f"last sent {words.short_day(last)}" if last else "nothing sent yet"


def _tracking(connection: "DuckDBPyConnection", rules: "Rules", labels: Labels) -> Finding:
    return Finding(
        "Email tracking off",
        f"{rules.tracking_off_sends} emails or more in 28 days, and not one open or click: none is being recorded.",
        [
            (labels[row["sequence_id"]], f"{words.count(row['sends'])} emails in 28 days")
            for row in records(attention.tracking_off(connection))
        ],
        "None: every active sequence that sends many emails has opens or clicks.",
    )


def _volumes(connection: "DuckDBPyConnection", labels: Labels) -> Finding:
    by_sequence: dict[str | None, list[dict[str, Any]]] = {}
    for row in records(attention.unusual_volumes(connection)):
        by_sequence.setdefault(row["sequence_id"], []).append(row)
    return Finding(
        "Unusual volumes",
        "Far more or fewer messages in the last complete week than in the weeks before, or none in the last seven days"
        " on a weekday that always has some.",
        [
            (EVERYTHING if sequence_id is None else labels[sequence_id], _unusual(rows))
            for sequence_id, rows in by_sequence.items()
        ],
        "None in the last complete week and the last seven days.",
    )


def _unusual(rows: list[dict[str, Any]]) -> str:
    weeks = [
        f"Sent {counted(row['sent'], 'message')} in the week of {row['day'].day} {row['day']:%B};"
        f" usually {words.count(row['usual'])} a week"
        for row in rows
        if row["is_week"]
    ]
    days = [row for row in rows if not row["is_week"]]
    named = words.listed(words.short_day(row["day"]) for row in days) if days else ""
    usual = f"; usually {words.count(days[0]['usual'])} on that weekday" if len(days) == 1 else ""
    return ". ".join([*weeks, *([f"Sent nothing on {named}{usual}"] if days else [])])


def _changes(connection: "DuckDBPyConnection", labels: Labels) -> Finding:
    compared = attention.compared_sequences(connection)
    clear = compared[compared["signal"] != "no_clear_change"]
    return Finding(
        "Clear changes",
        "Reply rates of the last four weeks that differ from the eight weeks before, and from what the other sequences"
        " did, by more than chance would explain. Contacts count by the share of replies that come by their age.",
        [
            (
                labels[row["sequence_id"]],
                f"{'▲ up' if row['signal'] == 'up' else '▼ down'} from {percent(row['previous_rate'])} to"
                f" {percent(row['rate'])}, {words.count(row['contacts'])} contacts",
            )
            for row in records(clear)
        ],
        f"None in {counted(len(compared), 'sequence')} with enough contacts to compare."
        if len(compared)
        else "No sequence has enough contacts to compare.",
    )


def _behind(quality: Quality) -> list[Fact]:
    """Return a fact if days have landed that the tables were not built with yet."""
    if quality.as_of is None or quality.last_known_day is None or quality.as_of >= quality.last_known_day:
        return []
    return [
        Fact(f"Days up to {words.day(quality.last_known_day)} have landed, but are not in the tables yet", ok=False)
    ]


def _unproved(days: list[date]) -> str:
    named = [words.short_day(day) for day in days[:EXAMPLES]]
    more = [counted(len(days) - EXAMPLES, "other")] if len(days) > EXAMPLES else []
    return f"{counted(len(days), 'day')} not proved complete: {words.listed(named + more)}"


def _left_out(quality: Quality) -> list[Fact]:
    if quality.cohort_days_left_out == 0:
        return []
    days = counted(quality.cohort_days_left_out, "day")
    return [Fact(f"Contacts of {days} are in no rate: a day in their time to reply was not read in full", ok=False)]


def _pending(quality: Quality) -> str:
    if quality.pending == 0:
        return "Every reply is classified"
    return f"{words.count(quality.pending)} of {counted(quality.replies, 'reply', 'replies')} not classified yet"


def _in_no_rate(quality: Quality) -> list[Fact]:
    """Return a fact for each reason why contacts are in totals but in no rate."""
    reasons = {
        "may have begun before the first landed day": quality.left_censored,
        "may have been touched first on a day that was not read in full": quality.start_uncertain,
    }
    return [
        Fact(f"{percent(runs / quality.runs)} of all contacts {reason}: in totals, in no rate")
        for reason, runs in reasons.items()
        if runs
    ]


def _without_sequence(quality: Quality) -> list[Fact]:
    if quality.touches_without_sequence == 0:
        return []
    touches = counted(quality.touches_without_sequence, "message or invitation", "messages and invitations")
    return [Fact(f"{touches} without a sequence: in totals, not in the list of sequences")]
