"""What a run's log says: a line for each day that was read and for each table that was built."""

from collections.abc import Sequence
from datetime import date, timedelta

from topo_pipeline.ingest import Day, Refusal
from topo_pipeline.warehouse.landing import Load


def of_range(days: Sequence[Day]) -> str:
    """What is about to be read."""
    return f"Reading {len(days)} days, {days[0].day} to {days[-1].day}"


def of_day(outcome: Load | Refusal, done: int, total: int, elapsed: timedelta) -> str:
    """What was read, proved and changed of a day, or why nothing was; and how far the range is.

    Args:
        outcome: what became of the day.
        done: how many days of the range have been dealt with, this one included.
        total: the days of the range.
        elapsed: since the first of them was begun.
    """
    where = f"{outcome.day}{_progress(done, total, elapsed)}"
    return f"{where}: refused. {outcome.reason}" if isinstance(outcome, Refusal) else f"{where}: {_landed(outcome)}"


def of_table(table: str, rows: int, days: Sequence[date], elapsed: timedelta) -> str:
    """What a build came to; `days` are those that were asked for, of a table that is built day by day."""
    asked = f", {_count(len(days), 'day')} of them built anew" if days else ""
    return f"{table}: {rows:,} rows{asked}, in {elapsed.total_seconds():.1f} s"


def _progress(done: int, total: int, elapsed: timedelta) -> str:
    if total == 1:
        return ""
    left = f", {_about(elapsed / done * (total - done))} left" if done < total else f", in {_about(elapsed)}"
    return f" ({done} of {total}{left})"


def _about(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    hours, rest = divmod(minutes, 60)
    if not minutes:
        return "less than a minute"
    return f"about {hours} h {rest} min" if hours else f"about {minutes} min"


def _landed(load: Load) -> str:
    return (
        f"{_count(load.rows, 'activity', 'activities')} in {_count(load.requests, 'request')},"
        f" {'' if load.proved else 'NOT '}proved against Topo's count of {load.api_total_count:,};"
        f" {_changes(load)}"
        + (f", {load.rejects:,} unreadable" if load.rejects else "")
        + (f", {load.suppressed:,} of forgotten people left out" if load.suppressed else "")
        + (" (the day is still open)" if load.is_open else "")
    )


def _changes(load: Load) -> str:
    counts = {"added": load.added, "changed": load.changed, "removed": load.removed}
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing changed"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
