"""The sensor that sends alerts. `alerts.streaks` decides what to report."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import dagster as dg

from topo_pipeline.defs.resources import Clock
from topo_pipeline.settings import Settings

if TYPE_CHECKING:
    from topo_pipeline.alerts.delivery import Destination

# Ended runs that one tick processes. It must exceed the number that can end within the overlap.
RUNS = 1000
# How far back to look when there is no state yet.
FIRST_LOOK = timedelta(days=1)
# A run's end can become visible after its end time. A run that is processed twice is reported once.
OVERLAP = timedelta(minutes=1)
_MINUTE = "%Y-%m-%d %H:%M UTC"


def run_alert_sensor(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings], clock: dg.ResourceParam[Clock]
) -> dg.SensorResult | dg.SkipReason:
    """Sends new failures and recoveries to Slack or a webhook. Does nothing if neither is configured."""
    from topo_pipeline.alerts.delivery import Undelivered
    from topo_pipeline.alerts.streaks import AlertState, decode_state, encode_state, find_alert, message
    from topo_pipeline.defs.outcomes import end_of, outcomes

    destination = destination_of(settings)
    if destination is None:
        return dg.SkipReason(
            "No alerts are sent. Set TOPO_ALERT_WEBHOOK, or TOPO_ALERT_SLACK_TOKEN and TOPO_ALERT_SLACK_CHANNEL."
        )
    state = decode_state(context.cursor, default=AlertState(clock() - FIRST_LOOK))
    since = state.until - OVERLAP
    changed = _changed_since(context.instance, since)
    ended = [record for record in changed if end_of(record) > since]
    checks = context.repository_def.asset_graph.asset_check_keys if context.repository_def else ()
    found = outcomes(context.instance, ended, checks, state.failing)
    alert, failing = find_alert(state.failing, found.failures, found.worked)
    if alert:
        text, now = message(alert), clock()
        fingerprint = sha256(f"{vars(destination)} {text}".encode()).hexdigest()[:16]
        if state.must_wait(fingerprint, now):
            return dg.SkipReason(f"The last message was not delivered. Next attempt: {state.next_attempt:{_MINUTE}}.")
        try:
            destination.send(text)
        except Undelivered as error:  # `until` is unchanged, so the next tick processes the same runs
            later = state.after_failed_delivery(fingerprint, now)
            reason = f"Not delivered: {error}. Next attempt: {later.next_attempt:{_MINUTE}}."
            return dg.SensorResult(skip_reason=reason, cursor=encode_state(later))
    reason = f"New failures: {len(alert.failing)}. Recoveries: {len(alert.recovered)}. Failing now: {len(failing)}."
    until = max([state.until, *(record.update_timestamp for record in changed)])
    return dg.SensorResult(skip_reason=reason, cursor=encode_state(AlertState(until, failing)))


def destination_of(settings: Settings) -> "Destination | None":
    """Return where to send alerts, or None if nothing is configured."""
    from topo_pipeline.alerts.delivery import Slack, Webhook

    if settings.alert_webhook is not None:
        return Webhook(settings.alert_webhook.get_secret_value())
    if settings.alert_slack_token is not None and settings.alert_slack_channel is not None:
        return Slack(settings.alert_slack_token.get_secret_value(), settings.alert_slack_channel)
    return None


def alert_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor. It is on by default if a destination is configured; without one it would only skip."""
    configured = settings.alert_webhook or (settings.alert_slack_token and settings.alert_slack_channel)
    return dg.sensor(
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if configured else dg.DefaultSensorStatus.STOPPED,
        description=run_alert_sensor.__doc__,
    )(run_alert_sensor)


def _changed_since(instance: dg.DagsterInstance, since: datetime) -> Sequence[dg.RunRecord]:
    """Return the succeeded and failed runs that ended since then, or were tagged since then after their end."""
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    filters = dg.RunsFilter(statuses=ended, updated_after=since)
    return instance.get_run_records(filters, limit=RUNS, order_by="update_timestamp", ascending=True)
