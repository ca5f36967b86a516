"""Sensors that notify somebody: alerts about failures and recoveries, and a heartbeat after each successful night.

Reading what failed and succeeded from Dagster's records belongs here. What to report and when is decided in
`alerts.streaks` and `automation.heartbeat`. The warehouse is not opened.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import dagster as dg

from topo_pipeline.days import days_between
from topo_pipeline.defs import names
from topo_pipeline.defs.messages import cause_of, skip_on_error
from topo_pipeline.defs.partitions import RANGE_END, RANGE_START
from topo_pipeline.defs.records import failed_days, last_loads
from topo_pipeline.defs.resources import Clock
from topo_pipeline.settings import Settings

if TYPE_CHECKING:
    from topo_pipeline.alerts.streaks import Failure
    from topo_pipeline.automation.heartbeat import NightlyRefresh, Status

# Ended runs that one tick processes. It must exceed the number that can end within the overlap.
RUNS = 1000
# How far back to look when there is no state yet.
FIRST_LOOK = timedelta(days=1)
# A run's end can become visible after its end time. A run that is processed twice is reported once.
OVERLAP = timedelta(minutes=1)
_MINUTE = "%Y-%m-%d %H:%M UTC"
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

NIGHT, STRETCHES = "topo_pipeline/night", "topo_pipeline/stretches"
"""Tags of each run of a nightly refresh: the time of its tick, and the number of runs that the tick requested."""
# Runs to search for the last nightly refresh.
_RECENT = 50


def run_alert_sensor(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings], clock: dg.ResourceParam[Clock]
) -> dg.SensorResult | dg.SkipReason:
    """Sends new failures and recoveries to Slack or a webhook. Does nothing if neither is configured."""
    from topo_pipeline.alerts.delivery import Undelivered, chat_of
    from topo_pipeline.alerts.streaks import AlertState, find_alert, message
    from topo_pipeline.common.cursors import read_cursor, write_cursor

    destination = chat_of(settings)
    if destination is None:
        return dg.SkipReason(
            "No alerts are sent. Set TOPO_ALERT_WEBHOOK, or TOPO_ALERT_SLACK_TOKEN and TOPO_ALERT_SLACK_CHANNEL."
        )
    state = read_cursor(context.cursor, default=AlertState(clock() - FIRST_LOOK))
    since = state.until - OVERLAP
    # Those that ended since then, or were tagged since then after their end.
    statuses = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    filters = dg.RunsFilter(statuses=statuses, updated_after=since)
    changed = context.instance.get_run_records(filters, limit=RUNS, order_by="update_timestamp", ascending=True)
    own = (record for record in changed if names.is_own(settings, record.dagster_run))
    ended = [record for record in own if end_of(record) > since]
    checks = context.repository_def.asset_graph.asset_check_keys if context.repository_def else ()
    found = outcomes(context.instance, settings, ended, checks, state.failing)
    alert, failing = find_alert(state.failing, found.failures, found.worked)
    if alert:
        text, now = message(alert, settings.organization), clock()
        fingerprint = sha256(f"{vars(destination)} {text}".encode()).hexdigest()[:16]
        if state.must_wait(fingerprint, now):
            return dg.SkipReason(f"The last message was not delivered. Next attempt: {state.next_attempt:{_MINUTE}}.")
        try:
            destination.send(text)
        except Undelivered as error:  # `until` is unchanged, so the next tick processes the same runs
            later = state.after_failed_delivery(fingerprint, now)
            reason = f"Not delivered: {error}. Next attempt: {later.next_attempt:{_MINUTE}}."
            return dg.SensorResult(skip_reason=reason, cursor=write_cursor(later))
    reason = f"New failures: {len(alert.failing)}. Recoveries: {len(alert.recovered)}. Failing now: {len(failing)}."
    until = max([state.until, *(record.update_timestamp for record in changed)])
    return dg.SensorResult(skip_reason=reason, cursor=write_cursor(AlertState(until, failing)))


def alert_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor. It is on by default if a destination is configured; without one it would only skip."""
    return dg.sensor(
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if settings.has_chat else dg.DefaultSensorStatus.STOPPED,
        description=run_alert_sensor.__doc__,
    )(skip_on_error(run_alert_sensor))


@dataclass
class Outcomes:
    """The failures, and when each subject last succeeded."""

    failures: "list[Failure]" = field(default_factory=list)
    worked: dict[str, datetime] = field(default_factory=dict)

    def add_failure(self, subject: str, at: datetime, run: str | None, reason: str) -> None:
        """Note that the subject failed at this time, in this run."""
        from topo_pipeline.alerts.streaks import Failure

        self.failures.append(Failure(subject, at, run, reason))

    def add_success(self, subject: str, at: datetime) -> None:
        """Note that the subject succeeded at this time."""
        self.worked[subject] = max(at, self.worked.get(subject, at))


def outcomes(
    instance: dg.DagsterInstance,
    settings: Settings,
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
    _add_landings(found, instance, settings, [subject for subject in subjects if _DAY.fullmatch(subject)])
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
        _add_failures(found, events, job, run.run_id, at)


def _add_failures(
    found: Outcomes, events: list[tuple[dg.DagsterEvent, datetime]], job: str, run_id: str, at: datetime
) -> None:
    """Add the failed steps; without any, the steps that were running when the run ended; else the job."""
    short = run_id.partition("-")[0]
    failed = [(event, failed_at) for event, failed_at in events if event.is_step_failure]
    for event, failed_at in failed:
        _add_failed_step(found, event, failed_at, short)
    if failed:
        return
    reason = next((event.message for event, _ in events if event.is_failure and not event.is_step_event), None)
    started = {_name(event.step_key) for event, _ in events if event.is_step_start}
    ended = {_name(event.step_key) for event, _ in events if event.is_step_success}
    for subject in sorted(started - ended) or [job]:
        found.add_failure(subject, at, short, reason or "no reason given")


def _add_failed_step(found: Outcomes, event: dg.DagsterEvent, at: datetime, run: str) -> None:
    """Add the days that a step refused, with their reasons, and count the step as a success. Else add the step."""
    fault = cause_of(event)
    reason = fault.sentence or f"{fault.kind}, see the run's log"  # the detail may quote personal data
    match fault.metadata:
        case {"refused_days": list(days), "reasons": dict(reasons)}:
            found.add_success(_name(event.step_key), at)
            for day in days:
                found.add_failure(day, at, run, reasons.get(day, reason))
        case _:
            found.add_failure(_name(event.step_key), at, run, reason)


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
            found.add_failure(subject, at, run, evaluation.description or "no reason given")


def _add_landings(found: Outcomes, instance: dg.DagsterInstance, settings: Settings, days: list[str]) -> None:
    """Add when these days last landed, in any run."""
    if not days:
        return
    filters = dg.AssetRecordsFilter(names.activities(settings), asset_partitions=days)
    landings = instance.fetch_materializations(filters, LANDINGS)
    for record in landings.records:  # latest first
        if record.partition_key:
            found.add_success(record.partition_key, _instant(record.event_log_entry))


def _instant(entry: dg.EventLogEntry) -> datetime:
    return datetime.fromtimestamp(entry.timestamp, UTC)


def _name(step_key: str | None) -> str:
    """Return the asset key of a step in the usual notation."""
    return (step_key or "").replace("__", "/")


def night_tags(at: datetime, stretches: int) -> Mapping[str, str]:
    """Return the tags that mark a run as part of this nightly refresh."""
    return {NIGHT: at.isoformat(), STRETCHES: str(stretches)}


def heartbeat_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor. It is on by default if TOPO_HEARTBEAT_URL is set."""
    status = dg.DefaultSensorStatus.RUNNING if settings.heartbeat_url else dg.DefaultSensorStatus.STOPPED
    return dg.sensor(
        name="heartbeat_sensor", minimum_interval_seconds=60, default_status=status, description=_send_heartbeat.__doc__
    )(skip_on_error(_send_heartbeat))


def _send_heartbeat(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings], clock: dg.ResourceParam[Clock]
) -> dg.SensorResult | dg.SkipReason:
    """Requests TOPO_HEARTBEAT_URL after each successful nightly refresh, so that a monitor notices when none runs."""
    from topo_pipeline.alerts.delivery import Undelivered, send_heartbeat
    from topo_pipeline.automation.heartbeat import HeartbeatState, skip_reason
    from topo_pipeline.common.cursors import read_cursor, write_cursor

    if settings.heartbeat_url is None:
        return dg.SkipReason("No heartbeat is sent. Set TOPO_HEARTBEAT_URL.")
    state, now = read_cursor(context.cursor, HeartbeatState()), clock()
    night = last_nightly_refresh(context.instance, settings)
    days = night.days if night else ()
    failed = failed_days(context.instance, days, settings)
    reason = skip_reason(state, night, last_loads(context.instance, settings, days), failed, now)
    if night is None or reason:
        return dg.SkipReason(reason)
    try:
        send_heartbeat(settings.heartbeat_url.get_secret_value())
    except Undelivered as error:
        state = state.after_failure(night.at, now)
        again = "No more attempts" if state.done else f"Next attempt: {state.next_attempt:{_MINUTE}}"
        return dg.SensorResult(skip_reason=f"Not delivered: {error}. {again}.", cursor=write_cursor(state))
    reason = f"The nightly refresh of {night.at:%Y-%m-%d} succeeded. Its heartbeat was delivered."
    return dg.SensorResult(skip_reason=reason, cursor=write_cursor(state.after_success(night.at)))


def last_nightly_refresh(instance: dg.DagsterInstance, settings: Settings) -> "NightlyRefresh | None":
    """Return the last tick of the nightly schedule that launched a run, with its runs."""
    from topo_pipeline.automation.heartbeat import NightlyRefresh

    launched_by = {"dagster/schedule_name": "nightly_refresh_schedule"}
    recent = instance.get_runs(dg.RunsFilter(tags={**launched_by, **names.run_tags(settings)}), limit=_RECENT)
    # Sorted by tick, because the newest run may re-execute a run of an earlier night.
    for newest in sorted((run for run in recent if NIGHT in run.tags), key=lambda run: run.tags[NIGHT])[-1:]:
        of_night = dg.RunsFilter(tags={NIGHT: newest.tags[NIGHT], **names.run_tags(settings)})
        runs = instance.get_runs(of_night)  # with re-executions, newest first
        last: dict[str, Status] = {}
        days = set()
        for run in runs:
            first, until = run.tags[RANGE_START], run.tags[RANGE_END]
            last.setdefault(f"{first}..{until}", _status(run))
            days |= set(days_between(date.fromisoformat(first), date.fromisoformat(until)))
        return NightlyRefresh(datetime.fromisoformat(newest.tags[NIGHT]), int(newest.tags[STRETCHES]), last, days)
    return None


def _status(run: dg.DagsterRun) -> "Status":
    if run.status == dg.DagsterRunStatus.SUCCESS:
        return "succeeded"
    return "failed" if run.is_finished else "in progress"
