"""Markdown: tables, and what to do this week."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from topo_pipeline.common.text import in_markdown

if TYPE_CHECKING:
    import pandas as pd

    from topo_pipeline.report.wording import Said

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


def to_do(said: Iterable["Said"]) -> str:
    """Return findings as a numbered list: the claim, its numbers and what to do. Names in them stay plain text."""
    items = [f"1. **{_plain(each.claim)}** {_plain(each.evidence)} {_plain(each.action)}" for each in said]
    return "\n".join(items) or "Nothing."


def _plain(sentence: str) -> str:
    return in_markdown(sentence, limit=500)
