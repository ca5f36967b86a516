"""Materialise a range of days in this process, on the instance that the UI shows, and say what came of it.

What belongs here: driving Dagster from a command line. What does not: printing, or what a run does.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg

from topo_pipeline.defs.ingest import ACTIVITIES
from topo_pipeline.defs.partitions import day_of, key_of

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
# The caller has its own way to say what goes on; the run's log is in the UI all the same.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Outcome:
    """What a backfill came to: the days that landed, and a sentence for each thing that did not work."""

    landed: tuple[date, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Progress:
    """What just happened: a day landed, or a step began."""

    landed: date | None = None
    step: str | None = None


def backfill(
    definitions: dg.Definitions, days: Sequence[date], *, instance: dg.DagsterInstance, tell: Callable[[Progress], None]
) -> Outcome:
    """Read `days` (contiguous) in one run of the job `refresh`; a refused day holds up no table of the others."""
    refresh = definitions.resolve_job_def("refresh")
    landed, problems = _run(refresh, days, instance, tell)
    if problems and landed:
        # The run ended at the refused days, before the tables: they follow what did land.
        daily_tables, other_tables = _tables(refresh)
        for stretch in contiguous(landed):
            problems += _run(refresh, stretch, instance, tell, daily_tables)[1]
        problems += _run(refresh, landed, instance, tell, other_tables)[1]
    return Outcome(tuple(landed), tuple(problems))


def contiguous(days: Iterable[date]) -> Iterator[list[date]]:
    """Split days into stretches without a gap, in order."""
    stretch: list[date] = []
    for day in sorted(days):
        if stretch and day != stretch[-1] + timedelta(days=1):
            yield stretch
            stretch = []
        stretch.append(day)
    if stretch:
        yield stretch


def _run(
    job: dg.JobDefinition,
    days: Sequence[date],
    instance: dg.DagsterInstance,
    tell: Callable[[Progress], None],
    selection: Sequence[dg.AssetKey] | None = None,
) -> tuple[list[date], list[str]]:
    """Execute the job over `days`, or a selection of it; return the days that landed and what failed."""
    run_id = str(uuid.uuid4())
    landed: set[date] = set()

    def listen(entry: dg.EventLogEntry) -> None:
        progress = _progress(entry)
        if progress is None:
            return
        if progress.landed:
            landed.add(progress.landed)
        tell(progress)

    # The result of a run that failed lacks the days that it logged before: they are heard as they land.
    instance.add_event_listener(run_id, listen)
    result = job.execute_in_process(
        run_config=QUIET,
        instance=instance,
        asset_selection=selection,
        tags={RANGE_START: key_of(days[0]), RANGE_END: key_of(days[-1])},
        raise_on_error=False,
        run_id=run_id,
    )
    return sorted(landed), [_sentence(event) for event in result.get_step_failure_events()]


def _tables(job: dg.JobDefinition) -> tuple[list[dg.AssetKey], list[dg.AssetKey]]:
    """The metric tables of the job: those built day by day, and the others."""
    tables = [key for key in job.asset_layer.executable_asset_keys if key.path[0] == "engagement"]
    by_day = [key for key in tables if job.asset_layer.get(key).partitions_def is not None]
    return by_day, [key for key in tables if key not in by_day]


def _progress(entry: dg.EventLogEntry) -> Progress | None:
    event = entry.dagster_event
    if event is None:
        return None
    if event.is_step_start:
        return Progress(step=event.step_key)
    if event.is_step_materialization and event.asset_key == ACTIVITIES and event.partition:
        return Progress(landed=day_of(event.partition).day)
    return None


def _sentence(event: dg.DagsterEvent) -> str:
    """What a failed step says: our own failures in their own words, a fault of ours by its first line."""
    failure = event.step_failure_data
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return failure.user_failure_data.description
    cause = failure.error
    while cause is not None and cause.cause is not None:
        cause = cause.cause
    if cause is not None and cause.cls_name == dg.DagsterExecutionInterruptedError.__name__:
        return f"{event.step_key} was interrupted: what had landed before stays"
    fault = cause.message.strip().partition("\n")[0] if cause else "no reason given"
    return f"{event.step_key} failed: {fault} (the run's log in Dagster's UI has the details)"
