"""What is typed after a command, read or refused in one sentence, with exit code 2."""

import sys
import uuid
from datetime import date, timedelta

import typer

from topo_pipeline.cli.console import fail, now
from topo_pipeline.settings import get_settings


def person(text: str) -> uuid.UUID:
    """The id of a person."""
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        fail(f"{text!r} is no id of a person: it looks like 0b9c4a52-6f0e-4c5b-9d5e-2f6f3c1d7a10.", 2)


def confirm(question: str, what: str) -> None:
    """Have a person at a terminal say yes; else nothing is done, and we say so: nothing was `what`."""
    if not sys.stdin.isatty():
        fail("Nobody is there to be asked: say --yes.", 2)
    if not typer.confirm(question):
        fail(f"Nothing was {what}.")


def day(text: str) -> date:
    """A reporting day."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"{text!r} is not a day: write it as 2026-03-01.", 2)


def begun(day: date) -> date:
    """A day that has begun, in the reporting time zone."""
    settings = get_settings()
    today = now().astimezone(settings.zone).date()
    if day > today:
        fail(f"{day} has not begun yet: today is {today} in {settings.timezone}.", 2)
    return day


def days(start: date, end: date) -> list[date]:
    """The days from `start` to `end`, both included, of which each is a partition that has begun."""
    settings = get_settings()
    if end < start:
        fail(f"The last day {end} is before the first one {start}.", 2)
    if start < settings.start_date:
        fail(
            f"{start} is before the first partition {settings.start_date}: set TOPO_START_DATE to an earlier day.",
            2,
        )
    begun(end)
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]
