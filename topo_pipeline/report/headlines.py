"""The headline numbers in words, as the page and the Monday message say them."""

from topo_pipeline.common.text import counted, percent
from topo_pipeline.engagement.rules import Rules
from topo_pipeline.report.formats import count, days, range_of, week
from topo_pipeline.warehouse.sql import Row

ALLOWS = "The early read allows for the replies still to come, if they come as fast as usual."
"""The condition of an early read. In a holiday they don't, and the read is too low."""


def final_counts(row: Row, rules: Rules) -> str:
    """Say how many contacts of a week replied, given its row of `workspace_weekly`."""
    return (
        f"{count(row['num'])} of {counted(row['den'], 'contact')} first messaged or invited"
        f" {week(row['week_start'].date())} replied within {rules.reply_window_days} days,"
        f" {count(row['positive'])} of them positively; {count(row['meetings'])} booked a meeting."
    )


def early_counts(row: Row) -> str:
    """Say how many of the newest contacts have replied, given the row of the workspace. "So far" must follow."""
    return (
        f"{count(row['early_rate_num'])} of {counted(row['early_contacts'], 'contact')} first messaged or invited"
        f" {days(row['early_first_day'], row['early_last_day'])} have replied"
    )


def final(row: Row, rules: Rules) -> str:
    """Say the final rate of a week with its counts."""
    return (
        f"Latest final rate: {percent(row['rate'])}, likely range"
        f" {range_of(row['low'], row['high'])}. {final_counts(row, rules)}"
    )


def early(row: Row | None) -> str:
    """Say the early read with its counts, or why there is none. `row` is None if no day is known."""
    if row is None or row["early_rate"] is None:
        reason = row["early_reason"] if row else "no day is over and proved complete yet"
        return f"Early read of the newest contacts: none, {reason}."
    return (
        f"Early read of the newest contacts: {percent(row['early_rate'])}, likely range"
        f" {range_of(row['early_rate_low'], row['early_rate_high'])}. {early_counts(row)} so far. {ALLOWS}"
    )
