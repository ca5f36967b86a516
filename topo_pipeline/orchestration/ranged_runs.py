"""Materialize days in this process, on the instance that the UI shows, and return the outcome.

This module drives Dagster for the command line. It doesn't print, and what a run does is defined in `defs`.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg

from topo_pipeline.common.text import counted
from topo_pipeline.days import backfill_commands, contiguous, last_stretch
from topo_pipeline.defs import names
from topo_pipeline.defs.activities import OUTAGE
from topo_pipeline.defs.executor import execute
from topo_pipeline.defs.jobs import PUBLISH, REFRESH
from topo_pipeline.defs.messages import cause_of, refused_days
from topo_pipeline.defs.partitions import range_tags
from topo_pipeline.defs.run_maintenance import fail_orphaned_runs
from topo_pipeline.ingest.session import OUTAGE_ERRORS
from topo_pipeline.orchestration.instance import require_no_reader
from topo_pipeline.settings import Settings

# The caller shows the progress itself. The run's log is still in the UI.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Outcome:
    """The outcome of a backfill: the days that landed, and a sentence for each problem, with details on further lines.

    An unproved day is not a problem of the run, but it makes the backfill incomplete.
    """

    landed: tuple[date, ...]
    problems: tuple[str, ...]
    loads: "Mapping[date, Progress]" = field(default_factory=dict)

    @property
    def activities(self) -> int:
        """The number of activities of the landed days."""
        return sum(load.activities for load in self.loads.values())

    @property
    def requests(self) -> int:
        """The number of requests for the landed days."""
        return sum(load.requests for load in self.loads.values())

    @property
    def unproved(self) -> dict[date, str]:
        """The reason for each day that landed without being proved complete."""
        return {day: load.unproved_because for day, load in self.loads.items() if load.unproved_because}

    @property
    def unreadable(self) -> dict[date, int]:
        """The number of unreadable rows of each landed day that has any."""
        return {day: load.unreadable for day, load in self.loads.items() if load.unreadable}


@dataclass(frozen=True)
class Progress:
    """One event: a day landed (with its counts of activities and requests), or a step started."""

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
    reasons: Mapping[date, str] = field(default_factory=dict)  # of refused days
    is_outage: bool = False


# Why days were left out.
_STOPPED, _INTERRUPTED, _DOWN = "Stopped as requested", "Interrupted", "Topo gave no usable answer twice in a row"


def backfill(
    definitions: dg.Definitions,
    days: Sequence[date],
    *,
    instance: dg.DagsterInstance,
    on_progress: Callable[[Progress], None],
    may_shrink: Iterable[date] = (),
    accept_unreadable: Iterable[date] = (),
    behind: Sequence[date] = (),
    is_stopped: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Read `days` in one run of the job `refresh`. A refused day doesn't delay the tables of other days.

    Days with gaps between them take one run for each stretch, and the tables are built after the last one. A requested
    stop takes effect after a day, and the tables then process the days that landed.

    Args:
        definitions: The code location.
        days: The days to read, in order.
        instance: The instance that records the runs.
        on_progress: Called for each day that lands and each step that starts.
        may_shrink: Days whose reload may remove any number of rows.
        accept_unreadable: Days that land, unproved, even if many of their rows can't be read.
        behind: Landed days that are not in the tables yet. Every build adds them. Without `days` there is only a build.
        is_stopped: Called after each day; returns whether to stop.

    Raises:
        AlreadyReading: another run is reading Topo.
    """
    settings: Settings = (definitions.resources or {})["settings"]
    fail_orphaned_runs(instance, settings)
    require_no_reader(instance, settings)
    reading = "__".join(names.activities(settings).path)
    refresh, config = definitions.resolve_job_def(REFRESH), _config(reading, may_shrink, accept_unreadable)
    loads: dict[date, Progress] = {}

    def count(progress: Progress) -> None:
        if progress.landed:
            loads[progress.landed] = progress
        on_progress(progress)

    stretches = list(contiguous(days))
    selection = None if len(stretches) == 1 else _assets(refresh, "topo")
    failures: list[_Failure] = []
    ending: str | None = None
    outages = 0  # stretches in a row
    for stretch in stretches:
        if ending or is_stopped():
            ending = ending or _STOPPED
            break
        failed, ending = _run(
            refresh, stretch, instance, count, selection=selection, config=config, is_stopped=is_stopped
        )
        failures += failed
        outages = outages + 1 if any(each.is_outage for each in failed) else 0
        if outages == OUTAGE_ERRORS and stretch is not stretches[-1]:
            ending = _DOWN
    landed, is_read = sorted(loads), ending != _INTERRUPTED and all(each.step == reading for each in failures)
    tables = _assets(refresh, "engagement")  # Dagster takes an empty selection for all assets
    if tables and (landed or behind) and is_read and (failures or ending or selection):
        # A run has one range. The daily table also builds the landed days that it lacks outside of the range.
        stretch = last_stretch(landed or behind)
        more, was_interrupted = _run(refresh, stretch, instance, on_progress, selection=tables)
        failures, ending = failures + more, was_interrupted or ending
    return Outcome(tuple(landed), tuple(_problems(failures, ending, days, landed)), loads)


def publish(definitions: dg.Definitions, instance: dg.DagsterInstance) -> tuple[str, ...]:
    """Publish the current tables in a run of the job `publish`. Return a sentence for each problem."""
    job = definitions.resolve_job_def(PUBLISH)
    result = execute(job, instance, run_id=str(uuid.uuid4()), run_config=QUIET)
    return tuple(_failure(event).sentence for event in result.get_step_failure_events())


def _problems(
    failures: Sequence[_Failure], ending: str | None, days: Sequence[date], landed: Sequence[date]
) -> list[str]:
    """Return what failed, and for an early end how many days landed and which are left to read."""
    reasons = {day: reason for failure in failures for day, reason in failure.reasons.items()}
    problems = [refused_days(reasons, len(days), retry=ending is None)] if reasons else []
    problems += dict.fromkeys(failure.sentence for failure in failures if not failure.reasons)
    done = f"{len(landed)} of {counted(len(days), 'day')} landed"
    if ending and len(landed) < len(days):
        again = "; ".join(backfill_commands(set(days) - set(landed)))
        problems.append(f"{ending}: {done}. To read the rest: {again}")
    elif ending:
        problems.append(f"{ending}: {done}. Tables that lack them are updated while topo-pipeline dev runs.")
    elif not problems and len(landed) < len(days):
        problems.append(f"Only {done}. See the run's log in Dagster's UI: topo-pipeline dev")
    return problems


def _config(reading: str, may_shrink: Iterable[date], accept_unreadable: Iterable[date]) -> dict[str, Any]:
    named = {"allow_shrink": may_shrink, "accept_unreadable": accept_unreadable}
    return {"ops": {reading: {"config": {name: [str(day) for day in days] for name, days in named.items()}}}}


def _run(
    job: dg.JobDefinition,
    days: Sequence[date],
    instance: dg.DagsterInstance,
    on_progress: Callable[[Progress], None],
    *,
    selection: Sequence[dg.AssetKey] | None = None,
    config: Mapping[str, Any] | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> tuple[list[_Failure], str | None]:
    """Execute the job, or a selection of its assets, for `days`, which are contiguous.

    Returns:
        The failed steps, and how the run ended if that was before its last day.
    """
    run_id = str(uuid.uuid4())
    landed = 0
    ending: str | None = None

    def listen(entry: dg.EventLogEntry) -> None:
        nonlocal ending, landed
        progress = _progress(entry)
        if progress is None:
            return
        landed += progress.landed is not None
        stops_here = progress.landed is not None and landed < len(days) and is_stopped()
        on_progress(progress)  # a stop that is requested from here on takes effect after the next day
        if stops_here:
            ending = _STOPPED
            if run := instance.get_run_by_id(run_id):
                instance.report_run_canceling(run)  # otherwise Dagster shows the run and its checks as failed
            raise dg.DagsterExecutionInterruptedError

    # The result of a failed run lacks the days that landed before the failure, so events are collected as they come.
    instance.add_event_listener(run_id, listen)
    result = execute(
        job,
        instance,
        run_id=run_id,
        run_config={**QUIET, **(config or {})},
        tags=range_tags(days[0], days[-1]),
        selection=selection,
    )
    events = result.get_step_failure_events()
    if ending is None and any(cause_of(event).kind == dg.DagsterExecutionInterruptedError.__name__ for event in events):
        ending = _INTERRUPTED
    return [] if ending else [_failure(event) for event in events], ending


def _assets(job: dg.JobDefinition, schema: str) -> list[dg.AssetKey]:
    """Return the assets of the job in a schema: `topo` is what it reads, `engagement` the tables."""
    return [key for key in job.asset_layer.executable_asset_keys if names.table_of(key)[0] == schema]


def _progress(entry: dg.EventLogEntry) -> Progress | None:
    event = entry.dagster_event
    if event is None:
        return None
    if event.is_step_start:
        return Progress(step=event.step_key)
    if event.is_step_materialization and event.partition and _is_of_activities(event.materialization):
        metadata: dict[str, Any] = {name: entry.value for name, entry in event.materialization.metadata.items()}
        return Progress(
            landed=date.fromisoformat(event.partition),
            activities=metadata["dagster/partition_row_count"],
            requests=metadata["requests"],
            unreadable=metadata["rejects"],
            unproved_because=metadata.get("unproved_because"),
        )
    return None


def _is_of_activities(materialization: dg.AssetMaterialization) -> bool:
    return names.table_of(materialization.asset_key) == names.ACTIVITIES


def _failure(event: dg.DagsterEvent) -> _Failure:
    """Return what a failed step reports: the sentence of an expected error, else the first line of the exception."""
    step, fault = str(event.step_key), cause_of(event)
    if fault.sentence is not None:
        reasons = {date.fromisoformat(day): str(why) for day, why in fault.metadata.get("reasons", {}).items()}
        return _Failure(step, fault.sentence, reasons, fault.metadata.get(OUTAGE) is True)
    return _Failure(
        step, f"{step} failed: {fault.detail} (the run's log in Dagster's UI has the details: topo-pipeline dev)"
    )
