"""Lines of a run's log: one for each day read and each table built."""

from collections.abc import Sequence
from datetime import date, timedelta

from topo_pipeline.days import Day
from topo_pipeline.ingest.loading import Refusal
from topo_pipeline.warehouse.landing import Load


def of_range(days: Sequence[Day]) -> str:
    """Return the line that announces a range of days."""
    return f"Reading {len(days)} days, {days[0].day} to {days[-1].day}"


def of_day(outcome: Load | Refusal, done: int, total: int, elapsed: timedelta) -> str:
    """Return the line about a day: what was read, proved and changed, or why it was refused, and the progress.

    Args:
        outcome: the day's load or refusal.
        done: number of days of the range that are done, including this one.
        total: number of days of the range.
        elapsed: time since the start of the range.
    """
    where = f"{outcome.day}{_progress(done, total, elapsed)}"
    return f"{where}: refused. {outcome.reason}" if isinstance(outcome, Refusal) else f"{where}: {_landed(outcome)}"


def of_table(table: str, rows: int, days: Sequence[date], elapsed: timedelta) -> str:
    """Return the line about a build. `days` are the rebuilt days of a table that is built day by day."""
    rebuilt = f", {_count(len(days), 'day')} rebuilt" if days else ""
    return f"{table}: {rows:,} rows{rebuilt}, in {elapsed.total_seconds():.1f} s"


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
        + (f", {load.suppressed:,} of erased people suppressed" if load.suppressed else "")
        + (" (the day is still open)" if load.is_open else "")
    )


def _changes(load: Load) -> str:
    counts = {"added": load.added, "changed": load.changed, "removed": load.removed}
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing changed"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
