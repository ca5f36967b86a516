"""What Dagster's records say failed and worked: runs that ended, days that landed, checks. No warehouse is opened."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg

from topo_pipeline.alerts.streaks import Failure
from topo_pipeline.defs.failures import fault_of
from topo_pipeline.defs.names import ACTIVITIES

# Landings looked at in one go.
LANDINGS = 1000
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
# What Dagster calls a run that a signal ended: Ctrl-C, or its service was stopped.
_STOPPED = {"dagster/failure_reason": "UNEXPECTED_TERMINATION"}
_TELLING = {
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
}


@dataclass
class Outcomes:
    """What failed, and when what was last seen to work."""

    failures: list[Failure] = field(default_factory=list)
    worked: dict[str, datetime] = field(default_factory=dict)

    def works(self, subject: str, at: datetime) -> None:
        """Note that it worked then."""
        self.worked[subject] = max(at, self.worked.get(subject, at))


def outcomes(
    instance: dg.DagsterInstance,
    ended: Iterable[dg.RunRecord],
    checks: Collection[dg.AssetCheckKey],
    failing: Iterable[str],
) -> Outcomes:
    """What came of the runs that `ended`, of all `checks`, and of what was `failing` before."""
    found = Outcomes()
    for record in ended:
        _add_run(found, instance, record)
    _add_checks(found, instance, checks)
    subjects = {*failing, *(failure.subject for failure in found.failures)}
    _add_landings(found, instance, [subject for subject in subjects if _DAY.fullmatch(subject)])
    return found


def end_of(record: dg.RunRecord) -> datetime:
    """When a run ended."""
    return datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp


def _add_run(found: Outcomes, instance: dg.DagsterInstance, record: dg.RunRecord) -> None:
    run, at, job = record.dagster_run, end_of(record), f"job {record.dagster_run.job_name}"
    if run.status == dg.DagsterRunStatus.SUCCESS:
        for subject in (job, *map(_name, run.step_keys_to_execute or ())):
            found.works(subject, at)
        return
    told = instance.get_records_for_run(run.run_id, of_type=_TELLING).records
    events = [(entry.get_dagster_event(), _instant(entry)) for entry in (record.event_log_entry for record in told)]
    for event, worked_at in events:
        if event.is_step_success:
            found.works(_name(event.step_key), worked_at)
    if not _STOPPED.items() <= run.tags.items():
        found.failures += _failures_of(found, events, job, run.run_id, at)


def _failures_of(
    found: Outcomes, events: list[tuple[dg.DagsterEvent, datetime]], job: str, run_id: str, at: datetime
) -> list[Failure]:
    """The failed steps; where there are none, what was under way when the run ended, or the job."""
    short = run_id.partition("-")[0]
    failures: list[Failure] = []
    for event, failed_at in events:
        if event.is_step_failure:
            failures += _failures_of_step(found, event, failed_at, short)
    if any(event.is_step_failure for event, _ in events):
        return failures
    reason = next((event.message for event, _ in events if event.is_failure and not event.is_step_event), None)
    started = {_name(event.step_key) for event, _ in events if event.is_step_start}
    ended = {_name(event.step_key) for event, _ in events if event.is_step_success}
    return [Failure(subject, at, short, reason or "no reason given") for subject in sorted(started - ended) or [job]]


def _failures_of_step(found: Outcomes, event: dg.DagsterEvent, at: datetime, run: str) -> Iterator[Failure]:
    """The days that a step refused, each for its reason, since the step itself did its work; else the step."""
    told, fault = event.step_failure_data.user_failure_data, fault_of(event)
    metadata = {name: entry.value for name, entry in (told.metadata if told else {}).items()}
    reason = fault.sentence or f"{fault.kind}, see the run's log"  # its detail may quote anything, people too
    match metadata:
        case {"refused_days": list(days), "reasons": dict(reasons)}:
            found.works(_name(event.step_key), at)
            yield from (Failure(day, at, run, reasons.get(day, reason)) for day in days)
        case _:
            yield Failure(_name(event.step_key), at, run, reason)


def _add_checks(found: Outcomes, instance: dg.DagsterInstance, checks: Collection[dg.AssetCheckKey]) -> None:
    """What each check said last: an error has failed, a warning has not."""
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(checks))
    for key, record in latest.items():
        evaluation = record.evaluation
        if record.event is None or not isinstance(evaluation, dg.AssetCheckEvaluation):
            continue  # it is being evaluated
        subject, at = f"check {key.to_user_string()}", _instant(record.event)
        if evaluation.passed or evaluation.severity != dg.AssetCheckSeverity.ERROR:
            found.works(subject, at)
        else:
            run = record.run_id.partition("-")[0] or None
            found.failures.append(Failure(subject, at, run, evaluation.description or "no reason given"))


def _add_landings(found: Outcomes, instance: dg.DagsterInstance, days: list[str]) -> None:
    """When these days last landed, whatever run did it."""
    if not days:
        return
    landings = instance.fetch_materializations(dg.AssetRecordsFilter(ACTIVITIES, asset_partitions=days), LANDINGS)
    for record in landings.records:  # latest first
        if record.partition_key:
            found.works(record.partition_key, _instant(record.event_log_entry))


def _instant(entry: dg.EventLogEntry) -> datetime:
    return datetime.fromtimestamp(entry.timestamp, UTC)


def _name(step_key: str | None) -> str:
    """An asset's step as its key is written."""
    return (step_key or "").replace("__", "/")
