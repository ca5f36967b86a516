"""Read failures and successes of runs, days and checks from Dagster's records. The warehouse is not opened."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg

from topo_pipeline.alerts.streaks import Failure
from topo_pipeline.defs.failures import cause_of
from topo_pipeline.defs.names import ACTIVITIES

# Materializations per query.
LANDINGS = 1000
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
# Dagster's tag of a run that a signal ended: Ctrl-C, or its service was stopped.
_STOPPED = {"dagster/failure_reason": "UNEXPECTED_TERMINATION"}
_EVENT_TYPES = {
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
}


@dataclass
class Outcomes:
    """The failures, and when each subject last succeeded."""

    failures: list[Failure] = field(default_factory=list)
    worked: dict[str, datetime] = field(default_factory=dict)

    def add_success(self, subject: str, at: datetime) -> None:
        """Note that the subject succeeded at this time."""
        self.worked[subject] = max(at, self.worked.get(subject, at))


def outcomes(
    instance: dg.DagsterInstance,
    ended: Iterable[dg.RunRecord],
    checks: Collection[dg.AssetCheckKey],
    failing: Iterable[str],
) -> Outcomes:
    """Return the outcomes of the runs that `ended`, of all `checks`, and of the subjects that were `failing` before."""
    found = Outcomes()
    for record in ended:
        _add_run(found, instance, record)
    _add_checks(found, instance, checks)
    subjects = {*failing, *(failure.subject for failure in found.failures)}
    _add_landings(found, instance, [subject for subject in subjects if _DAY.fullmatch(subject)])
    return found


def end_of(record: dg.RunRecord) -> datetime:
    """Return when a run ended (UTC)."""
    return datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp


def _add_run(found: Outcomes, instance: dg.DagsterInstance, record: dg.RunRecord) -> None:
    run, at, job = record.dagster_run, end_of(record), f"job {record.dagster_run.job_name}"
    if run.status == dg.DagsterRunStatus.SUCCESS:
        for subject in (job, *map(_name, run.step_keys_to_execute or ())):
            found.add_success(subject, at)
        return
    records = instance.get_records_for_run(run.run_id, of_type=_EVENT_TYPES).records
    events = [(entry.get_dagster_event(), _instant(entry)) for entry in (record.event_log_entry for record in records)]
    for event, worked_at in events:
        if event.is_step_success:
            found.add_success(_name(event.step_key), worked_at)
    if not _STOPPED.items() <= run.tags.items():
        found.failures += _failures_of(found, events, job, run.run_id, at)


def _failures_of(
    found: Outcomes, events: list[tuple[dg.DagsterEvent, datetime]], job: str, run_id: str, at: datetime
) -> list[Failure]:
    """Return the failed steps; without any, the steps that were running when the run ended; else the job."""
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
    """Yield the days that a step refused, with their reasons, and count the step as a success. Else yield the step."""
    failure, fault = event.step_failure_data.user_failure_data, cause_of(event)
    metadata = {name: entry.value for name, entry in (failure.metadata if failure else {}).items()}
    reason = fault.sentence or f"{fault.kind}, see the run's log"  # the detail may quote personal data
    match metadata:
        case {"refused_days": list(days), "reasons": dict(reasons)}:
            found.add_success(_name(event.step_key), at)
            yield from (Failure(day, at, run, reasons.get(day, reason)) for day in days)
        case _:
            yield Failure(_name(event.step_key), at, run, reason)


def _add_checks(found: Outcomes, instance: dg.DagsterInstance, checks: Collection[dg.AssetCheckKey]) -> None:
    """Add the last evaluation of each check. An error is a failure, a warning is not."""
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(checks))
    for key, record in latest.items():
        evaluation = record.evaluation
        if record.event is None or not isinstance(evaluation, dg.AssetCheckEvaluation):
            continue  # planned or running
        subject, at = f"check {key.to_user_string()}", _instant(record.event)
        if evaluation.passed or evaluation.severity != dg.AssetCheckSeverity.ERROR:
            found.add_success(subject, at)
        else:
            run = record.run_id.partition("-")[0] or None
            found.failures.append(Failure(subject, at, run, evaluation.description or "no reason given"))


def _add_landings(found: Outcomes, instance: dg.DagsterInstance, days: list[str]) -> None:
    """Add when these days last landed, in any run."""
    if not days:
        return
    landings = instance.fetch_materializations(dg.AssetRecordsFilter(ACTIVITIES, asset_partitions=days), LANDINGS)
    for record in landings.records:  # latest first
        if record.partition_key:
            found.add_success(record.partition_key, _instant(record.event_log_entry))


def _instant(entry: dg.EventLogEntry) -> datetime:
    return datetime.fromtimestamp(entry.timestamp, UTC)


def _name(step_key: str | None) -> str:
    """Return the asset key of a step in the usual notation."""
    return (step_key or "").replace("__", "/")
