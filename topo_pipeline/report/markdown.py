"""Markdown tables."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 40  # characters of a cell


def table(frame: "pd.DataFrame") -> str:
    """Write a frame of markdown texts as a table. All columns except the first are aligned right.

    Cells are not padded: Dagster hides markdown of 1,000 characters or more behind a link.
    """
    rules = [":--", *["--:"] * (len(frame.columns) - 1)]
    rows = [list(frame.columns), rules, *frame.to_numpy().tolist()]
    return "\n".join(f"|{'|'.join(row)}|" for row in rows)


def unbroken(numbers: str) -> str:
    """Return a day, or a rate with its interval, in a form that no browser breaks into two lines."""
    return numbers.replace(" ", "\u00a0").replace("–", "\u2060–\u2060").replace("-", "-\u2060")
