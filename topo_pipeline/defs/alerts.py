"""The sensor that tells people. Which of the records are news is for `alerts.streaks`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import dagster as dg

from topo_pipeline.defs.resources import Clock
from topo_pipeline.settings import Settings

if TYPE_CHECKING:
    from topo_pipeline.alerts.delivery import Destination

# Ended runs that one tick looks at: many more than end within the overlap.
RUNS = 1000
# So far back where nothing is remembered.
FIRST_LOOK = timedelta(days=1)
# A run may show as ended somewhat later than it says that it did; one that is looked at twice is no news.
OVERLAP = timedelta(minutes=1)
_MINUTE = "%Y-%m-%d %H:%M UTC"


def run_alert_sensor(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings], clock: dg.ResourceParam[Clock]
) -> dg.SensorResult | dg.SkipReason:
    """Tells what began to fail and what works again, to Slack or a webhook; silent where neither is configured."""
    from topo_pipeline.alerts.delivery import Undelivered
    from topo_pipeline.alerts.streaks import Memory, message, news, remembered, written
    from topo_pipeline.defs.outcomes import end_of, outcomes

    destination = destination_of(settings)
    if destination is None:
        return dg.SkipReason("Nobody is told: set TOPO_ALERT_WEBHOOK, or TOPO_ALERT_SLACK_TOKEN and _CHANNEL.")
    memory = remembered(context.cursor, otherwise=Memory(clock() - FIRST_LOOK))
    since = memory.until - OVERLAP
    changed = _changed_since(context.instance, since)
    ended = [record for record in changed if end_of(record) > since]
    checks = context.repository_def.asset_graph.asset_check_keys if context.repository_def else ()
    found = outcomes(context.instance, ended, checks, memory.failing)
    told, failing = news(memory.failing, found.failures, found.worked)
    if told:
        text, now = message(told), clock()
        fingerprint = sha256(f"{vars(destination)} {text}".encode()).hexdigest()[:16]
        if memory.must_wait(fingerprint, now):
            return dg.SkipReason(f"The last message was not delivered. Next attempt: {memory.next_attempt:{_MINUTE}}.")
        try:
            destination.tell(text)
        except Undelivered as error:  # the same runs are looked at again
            later = memory.postponed(fingerprint, now)
            said = f"Not delivered: {error}. Next attempt: {later.next_attempt:{_MINUTE}}."
            return dg.SensorResult(skip_reason=said, cursor=written(later))
    said = f"{len(told.failing)} failures and {len(told.well_again)} recoveries were told, {len(failing)} last."
    until = max([memory.until, *(record.update_timestamp for record in changed)])
    return dg.SensorResult(skip_reason=said, cursor=written(Memory(until, failing)))


def destination_of(settings: Settings) -> "Destination | None":
    """Where alerts go, or None."""
    from topo_pipeline.alerts.delivery import Slack, Webhook

    if settings.alert_webhook is not None:
        return Webhook(settings.alert_webhook.get_secret_value())
    if settings.alert_slack_token is not None and settings.alert_slack_channel is not None:
        return Slack(settings.alert_slack_token.get_secret_value(), settings.alert_slack_channel)
    return None


def alert_sensor(settings: Settings) -> dg.SensorDefinition:
    """On by default where somebody is to be told: it calls no API, and where nobody is it would only skip."""
    to_tell = settings.alert_webhook or (settings.alert_slack_token and settings.alert_slack_channel)
    return dg.sensor(
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if to_tell else dg.DefaultSensorStatus.STOPPED,
        description=run_alert_sensor.__doc__,
    )(run_alert_sensor)


def _changed_since(instance: dg.DagsterInstance, since: datetime) -> Sequence[dg.RunRecord]:
    """The runs that ended since, or were tagged after their end; without those that were cancelled."""
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    which = dg.RunsFilter(statuses=ended, updated_after=since)
    return instance.get_run_records(which, limit=RUNS, order_by="update_timestamp", ascending=True)
