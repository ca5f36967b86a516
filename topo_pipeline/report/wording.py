"""What the report says of findings, of all sequences together and of a pair of them.

The sentences about one sequence are those of `engagement.sentences`, which the command line uses too.
"""

from calendar import day_name
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from topo_pipeline.common.commands import pasteable
from topo_pipeline.common.text import counted, percent
from topo_pipeline.engagement import sentences
from topo_pipeline.engagement.comparison import Comparison
from topo_pipeline.engagement.rules import Rules
from topo_pipeline.engagement.sentences import day
from topo_pipeline.report.findings import Finding
from topo_pipeline.report.formats import count, days, isolated, range_of, short_day, week
from topo_pipeline.report.queries import QUIET_DAYS
from topo_pipeline.warehouse.sql import Row

_STEPS: dict[str | None, str] = {
    "very_likely": "very likely",
    "likely": "likely",
    "about_even": "not clear",
    None: "not known",
}
OUTCOMES = {
    "meeting": "Meeting booked",
    "positive": "Positive, no meeting",
    "neutral": "Neutral",
    "negative": "Negative",
    "opt_out": "Opt-out",
    "unclassified": "Not classified",
    "out_of_office": "Out of office",
    "bounced": "Bounced",
    "none": "No reply",
}
STAGES = {
    "found": "Enrolled",
    "touched": "Messaged or invited",
    "replies": "Replied",
    "positive": "Replied positively",
    "meetings": "Booked a meeting",
}
TO_DO = 3  # findings that are always in sight
OPENS = "Mail programs open and click too, and many readers are not counted: this ranks nothing."


@dataclass(frozen=True)
class Said:
    """A finding in words: what is claimed, from which numbers, what to do, and the sequence to look at."""

    claim: str
    evidence: str
    action: str
    sequence_id: str | None


def stages(rows: list[Row]) -> list[tuple[str, int]]:
    """Return the stages that contacts reached. Not all enrolments are known: fewer than were messaged are left out."""
    totals = {stage: sum(row[stage] for row in rows) for stage in STAGES}
    return [
        (name, totals[stage])
        for stage, name in STAGES.items()
        if stage != "found" or totals[stage] >= totals["touched"]
    ]


def outcomes(row: Row) -> list[tuple[str, int]]:
    """Return how many contacts answered in which way, without those that no contact has."""
    unclassified = row["outcome_unknown"] + row["outcome_pending"]
    numbers = {name: row.get(f"outcome_{outcome}", unclassified) for outcome, name in OUTCOMES.items()}
    return [(name, number) for name, number in numbers.items() if number]


def change(row: Row) -> str:
    """Return whether the rate of a sequence has changed, in a few words."""
    if row["signal"] == "no_clear_change" and row["signal_reason"]:
        return "unclear, few contacts"
    return sentences.CHANGES.get(row["signal"], "not judged")


def below(pair: Comparison) -> str:
    """Return how sure it is that the first of two sequences is worse than the second."""
    if pair.is_clear and pair.first_is_above:
        return "no"
    step = _STEPS["about_even" if pair.first_is_above else pair.chance]
    return step if pair.is_clear else f"{step}, not decided"


def needed(pair: Comparison) -> str:
    """Return the contacts that each of two sequences needs to detect a lower and a higher rate, if they are known."""
    return " / ".join(count(pair.needed[word]) if word in pair.needed else "–" for word in ("lower", "higher"))


def next_final(monday: date, window_days: int, as_of: date) -> str:
    """Return when the next week after the last final one can become final.

    A week that is due already and is not final had no contact, or a day that it needs was not read in full.
    """
    following, until_due = monday + timedelta(days=7), timedelta(days=7 + window_days)
    while following + until_due <= as_of + timedelta(days=1):
        following += timedelta(days=7)
    final_on = day(following + until_due)
    return f"The next week that is not due yet, {week(following)}, is final on {final_on} at the earliest."


def change_of_all(row: Row | None, found: Iterable[Finding], names: Mapping[str, str], rules: Rules) -> str:
    """Say whether replies have changed in all sequences together, given the row of the workspace and the findings."""
    if row is None or row["signal"] is None:
        reason = row["signal_reason"] if row else "no day is over and proved complete yet"
        return f"Whether replies have changed is not known: {reason}."
    clear = findings((each for each in found if each.kind in {"all_up", "all_down"}), names, rules)
    if clear:
        return clear[0].claim
    verdict = {"up": "Replies may have gone up", "down": "Replies may have gone down"}.get(
        row["signal"], "Whether replies have changed is not known" if row["signal_reason"] else "No clear change"
    )
    reason = f" Reason: {row['signal_reason']}." if row["signal_reason"] else ""
    return (
        f"{verdict}: {counted(row['current_replies'], 'reply', 'replies')} so far from the contacts of the last"
        f" four weeks, where about {count(round(_expected_of_all(row)))} were expected. This compares"
        f" {counted(row['comparable_sequences'], 'sequence')}{' together' if row['comparable_sequences'] > 1 else ''}."
        f"{reason}"
    )


def _expected_of_all(row: Row) -> float:
    """Return the replies that the weeks before led to expect. common_change is (replies + 20) / (expected + 20)."""
    expected: float = (row["current_replies"] + 20) / row["common_change"] - 20
    return expected


def trend_days(weeks: list[Row]) -> str:
    """Return the days that the trend lines cover: `6 Jul – 25 Oct`. Empty if there is no line.

    Each point is of the four weeks that end with its own.
    """
    if not weeks:
        return ""
    newest, most = weeks[0]["newest"], max(row["weeks_ago"] for row in weeks)
    first, last = newest - timedelta(weeks=most + 3), newest + timedelta(days=6)
    return f"{first.day} {first:%b} – {last.day} {last:%b}"


def nothing(is_compared: bool) -> str:
    """Return what to say when there is no finding."""
    if is_compared:
        return "Nothing to do: no difference is large enough to act on."
    return "Nothing to do: it is too early to compare the sequences."


def not_yet(quality: Row, window_days: int) -> str:
    """Return why no week is final yet, and when the first one will be."""
    monday = quality["first_day"] - timedelta(days=quality["first_day"].weekday())
    due = monday + timedelta(days=7 + window_days)
    return (
        f"A week is final once everyone first messaged or invited in it has had {window_days} days to reply."
        f" The first week, {week(monday)}, is final on {day(due)} at the earliest."
    )


def timing(cells: list[dict[str, Any]]) -> str:
    """Describe a heat map of sends for those who can't see it."""
    if not cells:
        return "No message was sent."
    most = max(cells, key=lambda cell: cell["sends"])
    hour = f"{day_name[most['weekday'] - 1]} from {most['hour']}:00"
    return f"Most messages were sent on {hour}, {count(most['sends'])} in all."


def findings(found: Iterable[Finding], names: Mapping[str, str], rules: Rules) -> list[Said]:
    """Put findings into words. `names` has the name of each sequence by its id."""
    said = []
    for finding in found:
        name = f"“{isolated(names[finding.sequence_id])}”" if finding.sequence_id else ""
        said.append(Said(*_SAID[finding.kind](finding.facts, name, rules), finding.sequence_id))
    return said


def _unknown_days(facts: Row, _name: str, rules: Rules) -> tuple[str, str, str]:
    number, between = facts["days"], days(facts["first_day"], facts["last_day"])
    return (
        f"{counted(number, 'day')} of the last 30 {'was' if number == 1 else 'were'} not read in full.",
        f"{between}. Contacts whose {rules.reply_window_days} days contain such a day are in no rate.",
        pasteable(f"Read the days again: topo-pipeline backfill {facts['first_day']} {facts['last_day']}"),
    )


_MORE_OR_FEWER = {"up": "More", "down": "Fewer"}


def _changed(direction: str, action: str) -> Callable[[Row, str, Rules], tuple[str, str, str]]:
    def said(facts: Row, name: str, _rules: Rules) -> tuple[str, str, str]:
        # In all sequences, replies that only take longer than before look the same. They don't in one of them.
        claim = (
            f"Replies to {name} have gone {direction}" if name else f"{_MORE_OR_FEWER[direction]} replies than usual"
        )
        so_far = "" if name else " so far, in all sequences together,"
        # As in sequence_signals: what the others did is part of what is expected of one sequence.
        expected = (
            facts["current_worth"] / facts["baseline_worth"] * facts["common_change"] * facts["baseline_replies"]
            if name
            else _expected_of_all(facts)
        )
        others = " and from what the other sequences did," if name else ","
        return (
            f"{claim}: {count(facts['current_replies'])}{so_far} where about {count(round(expected))} were expected.",
            f"From {counted(facts['current_contacts'], 'contact')} of the four weeks before {day(facts['monday'])}."
            f" What is expected comes from the eight weeks before{others} and chance alone rarely brings such a gap.",
            action,
        )

    return said


def _compared(word: str, action: str) -> Callable[[Row, str, Rules], tuple[str, str, str]]:
    def said(facts: Row, name: str, rules: Rules) -> tuple[str, str, str]:
        return (
            f"{name} very likely does {word} than the others: {percent(facts['rate'])} against"
            f" {percent(facts['others_rate'])}.",
            f"{count(facts['num'])} of {counted(facts['den'], 'contact')} replied within {rules.reply_window_days}"
            f" days, likely range {range_of(facts['low'], facts['high'])}. Of the others,"
            f" {count(facts['others_num'])} of {count(facts['others_den'])}.",
            action,
        )

    return said


def _better(facts: Row, name: str, rules: Rules) -> tuple[str, str, str]:
    """As `_compared`, but without more contacts if replies have gone down or the early read is clearly lower."""
    claim, evidence, action = _compared(
        "better", "Add contacts to it first. Find out what it does differently, and test that in another sequence."
    )(facts, name, rules)
    is_lower = facts["early_rate"] is not None and facts["early_rate_high"] < facts["rate"]
    if facts["early_rate"] is not None:
        likely = range_of(facts["early_rate_low"], facts["early_rate_high"])
        evidence += (
            f" Early read of its newest {counted(facts['early_contacts'], 'contact')}:"
            f" {percent(facts['early_rate'])}, likely range {likely}."
        )
    if facts["signal"] == "down":
        action = "Find out what changed in the last month before you add contacts: replies to it have gone down."
    elif is_lower:
        final = facts["early_last_day"] + timedelta(days=rules.reply_window_days + 1)
        action = (
            "Find out what it does differently, and test that in another sequence. Before you add many contacts to it,"
            f" wait for the final rate of its newest ones on {day(final)}."
        )
    return claim, evidence, action


def _silent(facts: Row, name: str, rules: Rules) -> tuple[str, str, str]:
    waiting = counted(facts["waiting"], "contact")
    last = f"It last sent something on {day(facts['last_day'])}." if facts["last_day"] else "It has sent nothing yet."
    return (
        f"{name} is silent, and {waiting} {'is' if facts['waiting'] == 1 else 'are'} waiting in it.",
        f"{last} A sequence is silent after {counted(rules.silent_business_days, 'business day')} without a message, or"
        " later if its pauses are usually longer.",
        "Check in Topo whether its sender is paused or a task is open.",
    )


def _last_step(facts: Row, name: str, rules: Rules) -> tuple[str, str, str]:
    return (
        f"The last step of {name} brings almost nothing: {counted(facts['num'], 'reply', 'replies')} from"
        f" {counted(facts['den'], 'contact')}.",
        f"The earlier steps together: {count(facts['earlier_num'])} from {count(facts['earlier_den'])}. Replies within"
        f" {rules.message_reply_window_days} days, of contacts who had not replied before.",
        f"Rewrite step {facts['step']}, or end the sequence before it.",
    )


def _no_new_contacts(facts: Row, name: str, _rules: Rules) -> tuple[str, str, str]:
    return (
        f"{name} got no new contact in two weeks.",
        f"First messages and invitations of the {QUIET_DAYS} days to {day(facts['last_day'])}.",
        "Add contacts, or close it.",
    )


def _tracking_off(facts: Row, name: str, _rules: Rules) -> tuple[str, str, str]:
    return (
        f"Email tracking seems to be off for {name}.",
        f"{counted(facts['sends'], 'email')} in 28 days without one open or click.",
        "Check the setting in Topo if you want opens and clicks. Reply rates don't need it.",
    )


def _unusual_volume(facts: Row, name: str, _rules: Rules) -> tuple[str, str, str]:
    number = counted(facts["sent"], "message") if facts["sent"] else "nothing"
    sent = f"{name} sent {number}" if name else f"All sequences together sent {number}"
    usual = count(round(facts["usual"]))
    if facts["is_week"]:
        return (
            f"{sent} in the week {week(facts['day'])}, usually about {usual}.",
            "Usually: the mean of the last four of the eight weeks before it that were read in full and had no day on"
            " which nothing at all was sent.",
            "Check whether that was intended.",
        )
    return (
        f"{sent} on {short_day(facts['day'])}, usually about {usual}.",
        "Usually: on the same weekday of the weeks before.",
        "Check whether that was intended." if name else "Check whether it was a holiday.",
    )


_SAID = {
    "unknown_days": _unknown_days,
    "all_down": _changed(
        "down", "Look for a common cause: a holiday, slower replies, the senders' reputation, a new kind of contact."
    ),
    "down": _changed("down", "Look for what changed in the last month: its text, its contacts, its sender."),
    "silent": _silent,
    "better": _better,
    "worse": _compared("worse", "Check its list and its messages before you add contacts."),
    "up": _changed("up", "Find out what changed, and keep it."),
    "last_step": _last_step,
    "no_new_contacts": _no_new_contacts,
    "tracking_off": _tracking_off,
    "all_up": _changed("up", "Find out what the sequences have in common, and keep it."),
    "unusual_volume": _unusual_volume,
}
