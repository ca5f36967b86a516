"""What people read of our errors and results in Dagster: failures, skipped ticks, and lines of a run's log.

Reading the cause of a recorded failure belongs here too. What an alert says does not: that is in `alerts`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import wraps
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import dagster as dg
from dagster._core.errors import DagsterUserCodeProcessError
from dagster_shared.error import SerializableErrorInfo

from topo_pipeline.common.commands import pasteable, written_for
from topo_pipeline.common.text import counted, first_line, one_line
from topo_pipeline.days import backfill_commands, format_days
from topo_pipeline.defs.resources import Topo
from topo_pipeline.settings import Settings, SettingsError
from topo_pipeline.topo_api.errors import TopoError
from topo_pipeline.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from topo_pipeline.ingest.loading import Refusal
    from topo_pipeline.warehouse.landing import Load

_LONGEST = 2000  # characters of a reason
_P = ParamSpec("_P")
_T = TypeVar("_T")


class ExplainedFailure(DagsterUserCodeProcessError, dg.Failure):
    """A failure whose description says everything. It is not retried, because a retry would fail the same way.

    It is recorded without a stack trace. Dagster adds one to any exception of a step except a
    `DagsterUserCodeProcessError`, whose own list of errors it records.

    Args:
        description: What happened, and what to do. Commands and settings are written as the organization needs them.
        metadata: Shown in Dagster with the failure.
    """

    def __init__(self, description: str, metadata: Mapping[str, Any] | None = None) -> None:
        description = pasteable(description)
        shown = SerializableErrorInfo(description, stack=[], cls_name=None)
        initialize: Any = super().__init__
        initialize(description, metadata, allow_retries=False, user_code_process_error_infos=[shown])


@contextmanager
def as_dagster_failure() -> Iterator[None]:
    """Raise an `ExplainedFailure` in place of our own errors."""
    try:
        yield
    except (SettingsError, TopoError, WarehouseError) as error:
        raise ExplainedFailure(str(error)) from error


def skip_on_error(evaluate: Callable[_P, _T]) -> Callable[_P, _T | dg.SkipReason]:
    """Turn errors such as a missing key or no answer from Topo into a skipped tick. The next tick is the retry.

    The reason of a skipped tick names commands and settings as its organization needs them.
    """

    @wraps(evaluate)
    def evaluated(*args: _P.args, **kwargs: _P.kwargs) -> _T | dg.SkipReason:
        given = (each for each in (*args, *kwargs.values()) if isinstance(each, Settings | Topo))
        settings = next(each if isinstance(each, Settings) else each.settings for each in given)
        with written_for(settings.organization, settings.sources):
            try:
                result = evaluate(*args, **kwargs)
            except (SettingsError, TopoError) as error:
                return dg.SkipReason(pasteable(str(error)))
            return dg.SkipReason(pasteable(result.skip_message or "")) if isinstance(result, dg.SkipReason) else result

    return evaluated


class Cause(NamedTuple):
    """Why a step failed."""

    sentence: str | None  # our own description; None for an unexpected exception
    kind: str  # the class of the first exception in the chain
    detail: str  # the first line of its message, which may quote any data
    metadata: Mapping[str, Any]  # of our own failure


def cause_of(event: dg.DagsterEvent) -> Cause:
    """Return the cause of a step's failure."""
    failure, cause = event.step_failure_data.user_failure_data, event.step_failure_data.error
    while cause is not None and cause.cause is not None:
        cause = cause.cause
    return Cause(
        failure.description or None if failure is not None else None,
        (cause.cls_name if cause else None) or "an error",
        first_line(cause.message) if cause else "no reason given",
        {name: entry.value for name, entry in failure.metadata.items()} if failure is not None else {},
    )


def refused_days(reasons: Mapping[date, str], asked: int, *, retry: bool = True) -> str:
    """Return a line for each refused day, or for days in a row with one reason, and the commands that read them again.

    Args:
        reasons: The refused days, in order, and why.
        asked: The number of days that were asked for.
        retry: Whether to add the commands.
    """
    lines = [f"{len(reasons)} of {counted(asked, 'day')} did not land."]
    for reason, alike in groupby(reasons, key=reasons.__getitem__):
        lines.append(f"{format_days(alike)}: {one_line(reason, _LONGEST)}")
    if retry:
        lines.append(f"To try again: {'; '.join(backfill_commands(reasons))}")
    return pasteable("\n".join(lines))


def day_line(outcome: "Load | Refusal", done: int, total: int, elapsed: timedelta) -> str:
    """Return the line about a day: what was read, proved and changed, or why it was refused, and the progress."""
    from topo_pipeline.ingest.loading import Refusal

    where = f"{outcome.day}{_progress(done, total, elapsed)}"
    said = f"refused. {outcome.reason}" if isinstance(outcome, Refusal) else _landed(outcome)
    return pasteable(f"{where}: {said}")


def table_line(table: str, rows: int, days: Sequence[date], elapsed: timedelta) -> str:
    """Return the line about a build. `days` are the rebuilt days of a table that is built day by day."""
    rebuilt = f", {counted(len(days), 'day')} rebuilt" if days else ""
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


def _landed(load: "Load") -> str:
    return (
        f"{counted(load.rows, 'activity', 'activities')} in {counted(load.requests, 'request')},"
        f" {'' if load.proved else 'NOT '}proved against Topo's count of {load.api_total_count:,};"
        f" {_changes(load)}"
        + (f", {load.rejects:,} unreadable" if load.rejects else "")
        + (f", {load.suppressed:,} of erased people suppressed" if load.suppressed else "")
        + (" (the day is still open)" if load.is_open else "")
    )


def _changes(load: "Load") -> str:
    counts = {"added": load.added, "changed": load.changed, "removed": load.removed}
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing changed"
