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
    everything = definitions.resolve_job_def("refresh")
    landed, problems = _run(everything, days, instance, tell)
    if problems and landed:
        # The run ended at the refused days, before the tables: they follow what did land.
        tables = [key for key in everything.asset_layer.executable_asset_keys if key.path[0] == "engagement"]
        partitioned = [key for key in tables if everything.asset_layer.get(key).partitions_def is not None]
        for some in contiguous(landed):
            problems += _run(everything, some, instance, tell, partitioned)[1]
        problems += _run(everything, landed[-1:], instance, tell, tables)[1]
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
    run_id = str(uuid.uuid4())
    instance.add_event_listener(run_id, lambda entry: _tell(entry, tell))
    result = job.execute_in_process(
        run_config=QUIET,
        instance=instance,
        asset_selection=selection,
        tags={RANGE_START: key_of(days[0]), RANGE_END: key_of(days[-1])},
        raise_on_error=False,
        run_id=run_id,
    )
    events = result.get_asset_materialization_events()
    landed = {event.partition for event in events if event.asset_key == ACTIVITIES}
    return sorted(day_of(key).day for key in landed if key), [
        _sentence(event) for event in result.get_step_failure_events()
    ]


def _tell(entry: dg.EventLogEntry, tell: Callable[[Progress], None]) -> None:
    event = entry.dagster_event
    if event is None:
        return
    if event.is_step_start:
        tell(Progress(step=event.step_key))
    elif event.is_step_materialization and event.asset_key == ACTIVITIES and event.partition:
        tell(Progress(landed=day_of(event.partition).day))


def _sentence(event: dg.DagsterEvent) -> str:
    """What a failed step says: our own failures in their own words, a fault of ours by its first line."""
    failure = event.step_failure_data
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return failure.user_failure_data.description
    cause = failure.error
    while cause is not None and cause.cause is not None:
        cause = cause.cause
    fault = cause.message.strip().partition("\n")[0] if cause else "no reason given"
    return f"{event.step_key} failed: {fault} (the run's log in Dagster's UI has the details)"
