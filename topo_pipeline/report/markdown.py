"""Markdown tables."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 40  # characters of a cell


def table(frame: "pd.DataFrame") -> str:
    """Write a frame of markdown; all columns but the first are set to the right.

    Without the padding that makes markdown readable as text: Dagster shows what is below 1,000 characters at once, and
    hides what is longer behind a link.
    """
    rules = [":--", *["--:"] * (len(frame.columns) - 1)]
    rows = [list(frame.columns), rules, *frame.to_numpy().tolist()]
    return "\n".join(f"|{'|'.join(row)}|" for row in rows)


def unbroken(numbers: str) -> str:
    """Keep a day, or a rate and its interval, on one line, however narrow the column."""
    return numbers.replace(" ", "\u00a0").replace("–", "\u2060–\u2060").replace("-", "-\u2060")
