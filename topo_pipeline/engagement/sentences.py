"""What the tables say about a sequence, as sentences: the same ones in the command line, the report and Dagster.

Each function takes a row of a query as a mapping, with None for unknown values, and returns one or two sentences. Rates
are shares. A contact is one contact in one sequence: a run.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from topo_pipeline.common.text import counted, interval, percent, points
from topo_pipeline.engagement.comparison import WEEKLY_Z, Comparison

Row = Mapping[str, Any]
CHANGES = {"up": "▲ up", "down": "▼ down", "no_clear_change": "no clear change"}
_STEPS = {"very_likely": "very likely", "likely": "likely"}
_FEW, _SAYS_LITTLE = {"none", "too_small"}, " From so few contacts, this says little."
# The verdict allows for weekly looks: 2.8 standard errors instead of 1.96, and 0.84 for 4 of 5 cases.
_EVERY_WEEK = 10 * round(10 * ((WEEKLY_Z + 0.84) / (1.96 + 0.84)) ** 2 - 10)
FEW = 30  # counted contacts, below which nothing is said of a comparison
_OUTCOMES = {"valid_reply": "replies", "meeting": "meetings"}


def day(value: date) -> str:
    """Return a day: `18 October 2026`."""
    return f"{value.day} {value:%B} {value.year}"


def reply_rate(row: Row, window_days: int) -> str:
    """Say the final reply rate, from how many contacts, and when they were first messaged or invited."""
    if not row["reply_rate_den"]:
        return f"Not known yet: no contact's {window_days} days are over."
    few = _SAYS_LITTLE if row["reply_rate_evidence"] in _FEW else ""
    return (
        f"{row['reply_rate_num']:,} of {counted(row['reply_rate_den'], 'contact')} replied within {window_days} days:"
        f" {percent(row['reply_rate'])}, likely range {_range(row['reply_rate_low'], row['reply_rate_high'])}.{few}"
        f" This counts contacts first messaged or invited between {day(row['rate_period_start'])} and"
        f" {day(row['rate_period_end'])}."
    )


def rank(row: Row) -> str:
    """Say the rank and how sure it is, or why there is none."""
    if row["reply_rank"] is None:
        return f"None: {row['rank_reason']}."
    if row["ranked"] == 1:
        return "The only sequence with enough contacts for a rank."
    place = (
        f"{row['reply_rank']} of {row['ranked']} ranked sequences, by reply rate adjusted for the number of contacts."
    )
    other = row["other_name"]
    if row["standing"] == "best":
        return f"{place} The chance that it is the best is at least 80%."
    if row["standing"] == "leads":
        step = _STEPS.get(row["chance_above_next"])
        return (
            f"{place} It is {step} above the next, {other}, but not clearly the best."
            if step
            else (f"{place} It leads, but is not clearly above the next, {other}.")
        )
    step = _STEPS.get(row["chance_below_first"])
    if other is None or row["ranked"] == 1:
        return place
    return (
        f"{place} It is {step} below the first, {other}."
        if step
        else f"{place} It is not clearly below the first, {other}."
    )


def early_read(row: Row) -> str:
    """Say the early read next to that of all sequences, or why there is none."""
    left_out = _left_out(row["early_days_left_out"])
    if row["early_rate"] is None:
        return f"None: {row['early_reason']}.{left_out}"
    pending = (
        f" Topo has not classified {row['early_pending']:,} of the replies yet. Automatic ones will not count."
        if row["early_pending"]
        else ""
    )
    has = "has" if row["early_rate_num"] == 1 else "have"
    few = _SAYS_LITTLE if row["early_rate_evidence"] in _FEW else ""
    return (
        f"{row['early_rate_num']:,} of the {counted(row['early_contacts'], 'contact')} first messaged or"
        f" invited since {day(row['early_first_day'])} {has} replied so far."
        f" Allowing for the replies still to come, if they come as fast as usual: {percent(row['early_rate'])}, likely"
        f" range {_range(row['early_rate_low'], row['early_rate_high'])}.{few} All sequences together:"
        f" {percent(row['early_rate_of_all'])}.{pending}{left_out}"
    )


def change(row: Row) -> str:
    """Say whether the reply rate has changed, from which numbers, or why that is unknown."""
    left_out = _left_out(row["change_days_left_out"])
    if row["signal"] is None:
        return f"Not judged: {row['signal_reason']}.{left_out}"
    expected = row["current_worth"] / row["baseline_worth"] * row["common_change"] * row["baseline_replies"]
    verdict = {"up": "Replies have gone up", "down": "Replies have gone down", "no_clear_change": "No clear change"}
    said = verdict[row["signal"]]
    if row["signal"] == "no_clear_change" and not row["halving_noticeable"]:
        said = "Not known, because with so few contacts even a fall to half would usually go unnoticed"
    return (
        f"{said}: {counted(row['current_replies'], 'reply', 'replies')} so far from the contacts of"
        f" the four weeks before {day(row['monday'])}. About {_about(expected)} were expected, given its eight weeks"
        f" before and the other sequences.{left_out}"
    )


def forecast(rows: Sequence[Row]) -> str:
    """Say what is still to come of one outcome from the contacts in flight, or why there is no number.

    The rows are those of one outcome, by horizon.
    """
    many = _OUTCOMES[rows[0]["outcome"]]
    if not any(row["expected"] for row in rows):
        number = "not known" if rows[0]["expected"] is None else "none expected"
        return f"{many.capitalize()}: {number}, {rows[0]['reason']}."
    return (
        f"{many.capitalize()} from contacts already messaged or invited, if they reply as others did before:"
        f" {', and '.join(map(_expected, rows))}."
    )


def _expected(row: Row) -> str:
    number = "fewer than 1" if row["expected"] < 1 else f"about {row['expected']:,.0f}"
    number += f" in the next {row['horizon_days']} days"
    if row["expected_low"] is None:
        return f"{number} ({row['reason']})"
    low, high = (f"{max(0, round(row[end])):,}" for end in ("expected_low", "expected_high"))
    record = f"right {row['past_within']} of the last {row['past_forecasts']} times"
    return f"{number} (80% range {low}–{high}, {record})"


def more_to_come(row: Row, window_days: int) -> str:
    """Say when the rate will cover more contacts."""
    if not row["waiting"]:
        return (
            f"Nothing until more contacts are messaged or invited: {window_days} days after that, the reply rate counts"
            " them."
        )
    soon = (
        f"By {day(row['soon_day'])}, {counted(row['soon'], 'more contact')} will have had their {window_days} days."
        if row["soon"]
        else f"The next contacts are counted on {day(row['next_day'])}."
    )
    if row["ranked_on"] is not None:
        return f"{soon} On {day(row['ranked_on'])} enough are counted for a rank."
    return soon


def contacts_needed(row: Row, ratio: float) -> str:
    """Say how many contacts a comparison with the other sequences needs."""
    needs = [
        f"{counted(row[f'contacts_needed_{word}'], 'contact')} if its reply rate is {text} theirs"
        for word, text in times(ratio).items()
        if row[f"contacts_needed_{word}"] is not None
    ]
    if not needs:
        return "How many contacts it takes is not known: the other sequences have too few contacts, or no reply."
    return (
        f"To detect a difference from the other sequences in 4 of 5 cases if you look once, it needs"
        f" {', or '.join(needs)}."
        f" It has {row['contacts_counted']:,.0f} (new contacts count in part)."
    )


def comparison(found: Comparison, window_days: int) -> list[str]:
    """Say how far two reply rates are apart, how sure it is which is higher, and how many contacts it takes."""
    return [*(rated(row, window_days) for row in (found.first, found.second)), *difference(found)]


def rated(row: Row, window_days: int) -> str:
    """Say the reply rate of one of two sequences."""
    if not row["den"]:
        return f"{row['name']}: no contact's {window_days} days are over yet."
    return (
        f"{row['name']}: {row['num']:,} of {counted(row['den'], 'contact')} replied within {window_days} days,"
        f" {percent(row['rate'])}, likely range {_range(row['low'], row['high'])}."
    )


def difference(found: Comparison) -> list[str]:
    """Say the difference of two reply rates, the verdict, and how many contacts it takes."""
    if found.difference is None:
        return ["Without a reply rate of both, they can't be compared."]
    said = times(found.ratio)
    needs = " or ".join(
        f"{number:,} if one has {said[word]} their common rate" for word, number in found.needed.items()
    )
    low, high = points(found.weekly_low), points(found.weekly_high)
    return [
        f"Difference, {found.first['name']} minus {found.second['name']}: {points(found.difference)} points, likely"
        f" range {low} to {high}, which holds if you check every week.",
        _verdict(found, found.difference),
        f"Contacts that each needs, to detect a difference in 4 of 5 cases if you look once: {needs}. If you look every"
        f" week, it takes about {_EVERY_WEEK}% more."
        if needs
        else "Neither has a reply, so the number of contacts needed is unknown.",
    ]


def _verdict(found: Comparison, difference: float) -> str:
    """Say which of two sequences has the higher rate, or that it is not decided."""
    one, other = found.first, found.second
    thin = [f"{row['name']} has {counted(row['den'], 'counted contact')}" for row in (one, other) if row["den"] < FEW]
    if thin:
        return f"Not decided: {' and '.join(thin)}, and {FEW} are needed."
    if found.is_clear:
        higher = one if difference > 0 else other
        return f"{higher['name']} has the higher reply rate: the range does not include 0."
    step = _STEPS.get(found.chance or "")
    if step is None:
        return "Not decided yet: either may be ahead. Wait for more contacts."
    higher = one if found.first_is_above else other
    return f"Not decided yet: {higher['name']} is {step} ahead, but the range includes 0. Wait for more contacts."


def times(ratio: float) -> dict[str, str]:
    """Return how a ratio of two rates is said, of the `higher` and of the `lower` one."""
    if ratio == 2:  # noqa: PLR2004
        return {"higher": "twice", "lower": "half"}
    return {"higher": f"{ratio:g} times", "lower": f"{100 / ratio:.0f}% of"}


def _left_out(days: int) -> str:
    """Say whose contacts are left out because a day is unknown."""
    return (
        f" The contacts of {counted(days, 'day')} are left out, because a day since then was not read in full."
        if days
        else ""
    )


def _range(low: float, high: float) -> str:
    return interval(low, high).strip("()") + "%"


def _about(number: float) -> str:
    """Return an expected number of replies: whole from 10 on, below that with one decimal."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}"  # noqa: PLR2004
