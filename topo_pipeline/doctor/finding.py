"""What the doctor finds: how bad it is, what it is, what to do."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what was looked at, in a word or two.
        level: ok; a warning, with which the pipeline works; a problem, with which it does not.
        found: a sentence: what it is.
        do: a sentence: what to do; empty where there is nothing to do.
    """

    check: str
    level: Level
    found: str
    do: str = ""


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", found)


def warning(check: str, found: str, do: str) -> Finding:
    """The pipeline works, but somebody should know."""
    return Finding(check, "warning", found, do)


def problem(check: str, found: str, do: str) -> Finding:
    """The pipeline does not work so."""
    return Finding(check, "problem", found, do)


def unknown(check: str, why: str) -> Finding:
    """It could not be looked at, for a reason that another finding tells."""
    return Finding(check, "warning", f"Not looked at: {why}.", "See to that first.")
