"""Findings of the doctor: how serious each one is, what was found, and what to do."""

from dataclasses import dataclass
from typing import Literal

from topo_pipeline.common.text import sentence

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str  # what was checked, in a word or two
    level: Level  # `ok`, `warning` (the pipeline works) or `problem` (the pipeline doesn't work)
    found: str  # what was found, as a sentence
    do: str = ""  # what to do, as a sentence; commands after it are one a line. Empty if there is nothing to do.


def ok(check: str, found: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(check, "ok", found)


def warning(check: str, found: str, do: str) -> Finding:
    """Return a finding that needs attention although the pipeline works."""
    return Finding(check, "warning", sentence(found), do)


def problem(check: str, found: str, do: str) -> Finding:
    """Return a finding that keeps the pipeline from working."""
    return Finding(check, "problem", sentence(found), do)


def unknown(check: str, why: str) -> Finding:
    """Return a warning for a check that could not run, for a reason that another finding reports."""
    return Finding(check, "warning", f"Not checked: {why}.", "Fix that first.")
