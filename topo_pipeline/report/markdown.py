"""Markdown tables, and other people's text in them: it can't break out of its cell, and does nothing there."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 40  # characters of a cell
# What markdown or HTML may read as more than text; as a character reference it is nothing but text.
_MARKUP = re.compile(r"[!\"$&'*<>\[\\\]_`|~]")


def table(frame: "pd.DataFrame") -> str:
    """Write a frame of markdown; all columns but the first are set to the right.

    Without the padding that makes markdown readable as text: Dagster shows what is below 1,000 characters at once, and
    hides what is longer behind a link.
    """
    rules = [":--", *["--:"] * (len(frame.columns) - 1)]
    rows = [list(frame.columns), rules, *frame.to_numpy().tolist()]
    return "\n".join(f"|{'|'.join(row)}|" for row in rows)


def as_text(name: str) -> str:
    """Write a name so that a markdown reader shows it, on one line, and does nothing else with it."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", one_line(name))


def unbroken(numbers: str) -> str:
    """Keep a day, or a rate and its interval, on one line, however narrow the column."""
    return numbers.replace(" ", "\u00a0").replace("–", "\u2060–\u2060").replace("-", "-\u2060")


def one_line(name: str) -> str:
    """A name as far as it can be printed, on one line, cut where it is too long for one."""
    printable = "".join(character if character.isprintable() else " " for character in name)
    line = " ".join(printable.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
