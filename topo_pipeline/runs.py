"""Materialise a range of days in this process, on the instance that the UI shows, and say what came of it.

What belongs here: driving Dagster from a command line. What does not: printing, or what a run does.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg

from topo_pipeline.days import contiguous
from topo_pipeline.defs.failures import fault_of
from topo_pipeline.defs.names import ACTIVITIES
from topo_pipeline.defs.partitions import day_of, key_of, range_tags
from topo_pipeline.instance import bury_the_dead, make_sure_nobody_reads, owner_tag

# The caller has its own way to say what goes on; the run's log is in the UI all the same.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


READING = "topo__activities"


@dataclass(frozen=True)
class Outcome:
    """What a backfill came to: the days that landed, and a sentence for each thing that did not work.

    An unproved day is no problem of the run, but nobody should call the backfill complete.
    """

    landed: tuple[date, ...]
    problems: tuple[str, ...]
    activities: int = 0
    requests: int = 0
    unproved: dict[date, str] = field(default_factory=dict)
    """Why, of each day that landed without being proved complete."""
    unreadable: dict[date, int] = field(default_factory=dict)
    """How many rows, of each day that landed with rows that could not be read."""


@dataclass(frozen=True)
class Progress:
    """What just happened: a day landed, with so many activities by so many requests, or a step began."""

    landed: date | None = None
    step: str | None = None
    activities: int = 0
    requests: int = 0
    unreadable: int = 0
    unproved_because: str | None = None


@dataclass(frozen=True)
class _Failure:
    step: str
    sentence: str
    was_interrupted: bool = False


def backfill(
    definitions: dg.Definitions,
    days: Sequence[date],
    *,
    instance: dg.DagsterInstance,
    tell: Callable[[Progress], None],
    may_shrink: Iterable[date] = (),
    accept_unreadable: Iterable[date] = (),
    is_stopped: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Read `days` (contiguous) in one run of the job `refresh`; a refused day holds up no table of the others.

    Nor does an end that is asked for: it comes after a day, and the tables take in what landed.

    Args:
        definitions: The code location.
        days: What to read.
        instance: Where the runs are recorded.
        tell: Is told of each day that landed and each step that begins.
        may_shrink: Days of which a reload may remove any number of rows.
        accept_unreadable: Days that land, unproved, however many of their rows can't be read.
        is_stopped: Asked after each day: whether to end here.

    Raises:
        AlreadyReading: another run reads Topo now.
    """
    bury_the_dead(instance)
    make_sure_nobody_reads(instance)
    refresh, config = definitions.resolve_job_def("refresh"), _config(may_shrink, accept_unreadable)
    counted: dict[date, Progress] = {}

    def count(progress: Progress) -> None:
        if progress.landed:
            counted[progress.landed] = progress
        tell(progress)

    landed, failures = _run(refresh, days, instance, count, config=config, is_stopped=is_stopped)
    if landed and [failure.step for failure in failures] == [READING] and not failures[0].was_interrupted:
        # The run ended at the refused days, or was to end, before the tables: they follow what did land.
        daily_tables, other_tables = _tables(refresh)
        for stretch in contiguous(landed):
            failures += _run(refresh, stretch, instance, tell, selection=daily_tables)[1]
        failures += _run(refresh, landed, instance, tell, selection=other_tables)[1]
    problems = tuple(dict.fromkeys(failure.sentence for failure in failures))
    if not problems and set(landed) != set(days):
        problems = (f"only {len(landed)} of {len(days)} days landed, and the run does not say why",)
    return Outcome(
        tuple(landed),
        problems,
        activities=sum(progress.activities for progress in counted.values()),
        requests=sum(progress.requests for progress in counted.values()),
        unproved={day: progress.unproved_because for day, progress in counted.items() if progress.unproved_because},
        unreadable={day: progress.unreadable for day, progress in counted.items() if progress.unreadable},
    )


def _config(may_shrink: Iterable[date], accept_unreadable: Iterable[date]) -> dict[str, Any]:
    named = {"allow_shrink": may_shrink, "accept_unreadable": accept_unreadable}
    return {"ops": {READING: {"config": {name: [key_of(day) for day in days] for name, days in named.items()}}}}


def _run(
    job: dg.JobDefinition,
    days: Sequence[date],
    instance: dg.DagsterInstance,
    tell: Callable[[Progress], None],
    *,
    selection: Sequence[dg.AssetKey] | None = None,
    config: Mapping[str, Any] | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> tuple[list[date], list[_Failure]]:
    """Execute the job over `days`, or a selection of it; return the days that landed and what failed."""
    run_id = str(uuid.uuid4())
    landed: set[date] = set()
    stopped: list[_Failure] = []

    def listen(entry: dg.EventLogEntry) -> None:
        progress = _progress(entry)
        if progress is None:
            return
        is_news = progress.landed is not None and progress.landed not in landed
        if progress.landed:
            landed.add(progress.landed)
        is_over = is_news and len(landed) < len(days) and is_stopped()
        tell(progress)  # whoever asks for an end from now on asks for it after the next day
        if is_over:
            stopped.append(_Failure(READING, f"Ended as asked: {len(landed)} of {len(days)} days landed."))
            raise dg.DagsterExecutionInterruptedError

    # The result of a run that failed lacks the days that it logged before: they are heard as they land.
    instance.add_event_listener(run_id, listen)
    result = job.execute_in_process(
        run_config={**QUIET, **(config or {})},
        instance=instance,
        asset_selection=selection,
        tags={**range_tags(days[0], days[-1]), **owner_tag(run_id)},
        raise_on_error=False,
        run_id=run_id,
    )
    return sorted(landed), stopped or [_failure(event) for event in result.get_step_failure_events()]


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
        told = {name: entry.value for name, entry in event.materialization.metadata.items()}
        return Progress(
            landed=day_of(event.partition).day,
            activities=_number(told.get("dagster/partition_row_count")),
            requests=_number(told.get("requests")),
            unreadable=_number(told.get("rejects")),
            unproved_because=str(told["unproved_because"]) if "unproved_because" in told else None,
        )
    return None


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _failure(event: dg.DagsterEvent) -> _Failure:
    """What a failed step says: our own failures in their own words, a fault of ours by its first line."""
    step, fault = str(event.step_key), fault_of(event)
    if fault.sentence is not None:
        return _Failure(step, fault.sentence)
    if fault.kind == dg.DagsterExecutionInterruptedError.__name__:
        return _Failure(step, "Interrupted: the days that had landed stay.", was_interrupted=True)
    return _Failure(step, f"{step} failed: {fault.detail} (the run's log in Dagster's UI has the details)")
