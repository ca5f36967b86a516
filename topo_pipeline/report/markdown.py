"""Frames as markdown tables: other people's text can't break out of its cell, and does nothing there."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 40  # characters of a cell
# What markdown or HTML may read as more than text; as a character reference it is nothing but text.
_MARKUP = re.compile(r"[!\"$&'*<>\[\\\]_`|~]")


def table(frame: "pd.DataFrame") -> str:
    """Write a frame of texts; all columns but the first are set to the right.

    Without the padding that makes markdown readable as text: Dagster shows what is below 1,000 characters at once, and
    hides what is longer behind a link.
    """
    rules = [":--", *["--:"] * (len(frame.columns) - 1)]
    rows = ([as_text(cell) for cell in row] for row in frame.itertuples(index=False))
    return "\n".join(f"|{'|'.join(row)}|" for row in [list(frame.columns), rules, *rows])


def as_text(name: str) -> str:
    """Write a name so that a markdown reader shows it, on one line, and does nothing else with it."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", one_line(name))


def one_line(name: str) -> str:
    """A name as far as it can be printed, on one line, cut where it is too long for one."""
    printable = "".join(character if character.isprintable() else " " for character in name)
    line = " ".join(printable.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
