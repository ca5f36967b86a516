"""Parse command-line arguments. A bad argument is rejected with one sentence and exit code 2."""

import re
import sys
import uuid
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import islice

import typer

from topo_pipeline.cli.console import fail, get_settings, now
from topo_pipeline.days import days_between

_DAYS_AGO = {"today": 0, "yesterday": 1}
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")  # Python also reads 20260301 and 2026-W10-1
_SPAN = re.compile("([1-9][0-9]{0,3})([dw])")


def with_options_moved(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with each `--organization NAME` moved in front of the command.

    A `--demo` directly in front of the command is moved behind it. What follows `--` is left as it is.
    """
    end = words.index("--") if "--" in words else len(words)
    first, others = list[str](), list[str]()
    options = iter(words[:end])
    for word in options:
        if word == "--organization":
            first += [word, *islice(options, 1)]
        else:
            (first if word.startswith("--organization=") else others).append(word)
    others += words[end:]
    if others[:1] == ["--demo"]:
        others[:2] = others[1::-1]
    return first + others


def require_organization_name(words: Sequence[str]) -> None:
    """Exit if the words of a command line end with `--organization`."""
    end = words.index("--") if "--" in words else len(words)
    if words[:end][-1:] == ["--organization"]:
        fail("--organization needs a name, for example: --organization acme", 2)


def one_organization(names: Sequence[str]) -> str:
    """Return the name that `--organization` was given, or exit if it is empty or if there are several."""
    if "" in names:
        fail("--organization has an empty name. The names: topo-pipeline organizations", 2)
    if len({*names}) > 1:
        fail(f"--organization is given with several names: {', '.join(names)}. A command works on one.", 2)
    return names[0]


def person(text: str) -> uuid.UUID:
    """Parse the id of a contact."""
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        fail(
            f"{text!r} is not a contact id. Use the contact's UUID from Topo, for example"
            " 0b9c4a52-6f0e-4c5b-9d5e-2f6f3c1d7a10.",
            2,
        )


def confirm(question: str, done: str) -> None:
    """Ask the user to confirm, and exit if they don't. `done` is a past participle, such as "erased"."""
    if not sys.stdin.isatty():
        fail("Not running in a terminal: pass --yes to confirm.", 2)
    if not typer.confirm(question):
        fail(f"Cancelled: nothing was {done}.")


def today() -> date:
    """Return today in the reporting time zone."""
    return now().astimezone(get_settings().zone).date()


def day(text: str) -> date:
    """Parse a reporting day: a date, `today` or `yesterday`."""
    if text in _DAYS_AGO:
        return today() - timedelta(days=_DAYS_AGO[text])
    try:
        if _DATE.fullmatch(text) is None:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        fail(f"{text!r} is not a date. Use YYYY-MM-DD, today or yesterday.", 2)


def last(text: str) -> tuple[date, date]:
    """Parse a number of days or weeks, such as `7d` or `4w`: the days up to yesterday. Return the first and the last.

    Days before TOPO_START_DATE are left out.
    """
    found = _SPAN.fullmatch(text)
    if not found:
        fail(f"{text!r} is not a number of days or weeks from 1 to 9999. Use for example 7d or 4w.", 2)
    count = int(found[1]) * (7 if found[2] == "w" else 1)
    first = today() - timedelta(days=count)
    return max(first, get_settings().start_date), day("yesterday")


def started(day: date) -> date:
    """Return the day if it has started in the reporting time zone, else exit."""
    if day > today():
        fail(f"{day} is in the future: today is {today()} in {get_settings().timezone}.", 2)
    return day


def days(start: date, end: date) -> list[date]:
    """Return the days from `start` to `end`, both included, or exit if one is not a partition that has started."""
    settings = get_settings()
    if end < start:
        fail(f"The last day {end} is before the first day {start}.", 2)
    if start < settings.start_date:
        fail(
            f"{start} is before TOPO_START_DATE ({settings.start_date}). To read it, set TOPO_START_DATE={start}.",
            2,
        )
    started(end)
    return days_between(start, end)
