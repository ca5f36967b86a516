"""The job `send_report`: one step writes the report, and one step for each destination sends the Monday message.

It is not an asset: materializing all assets, or a backfill of them, must not send messages to people. Each destination
has a step of its own, so that a retry, or a re-execution from the failed step, repeats nothing that has arrived.
"""

from pathlib import Path
from typing import Any

import dagster as dg

from topo_pipeline.common.commands import pasteable
from topo_pipeline.defs import names
from topo_pipeline.defs.messages import ExplainedFailure
from topo_pipeline.defs.publish import about, findings, write_report
from topo_pipeline.defs.resources import Clock, Warehouse
from topo_pipeline.settings import Settings

RETRIES = dg.RetryPolicy(max_retries=4, delay=120, backoff=dg.Backoff.EXPONENTIAL)
"""Waits of 2, 6, 14 and 30 minutes."""
NAME = "send_report"
_CHAT = "send_to_chat"


def write_message(
    context: dg.OpExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    clock: dg.ResourceParam[Clock],
    settings: dg.ResourceParam[Settings],
) -> dict[str, str]:
    """Write the report, so that message and report have the same numbers. Return the message and the report's path."""
    published = write_report(warehouse, clock, settings)
    metadata = about(published)
    report = names.asset_key(settings, "publish", "engagement_report")
    context.log_event(dg.AssetMaterialization(report, metadata=metadata))
    context.log_event(findings(metadata, settings))
    return {"text": published.text, "report": str(published.kept)}


def send_report(settings: Settings) -> dg.JobDefinition | None:
    """Return the job, with a step for each destination in the settings, or None without any."""
    steps = [
        *([_step(_CHAT)] if settings.has_chat else []),
        *([_step("send_by_mail")] if settings.has_mail else []),
    ]
    if not steps:
        return None

    write: Any = dg.op(pool=names.pool(settings, "warehouse"))(write_message)

    @dg.job(
        name=NAME,
        tags=names.run_tags(settings),
        description="Write the report and send the Monday message to every configured destination.",
    )
    def job() -> None:
        message = write()
        for step in steps:
            step(message)

    return job


def _step(name: str) -> dg.OpDefinition:
    @dg.op(name=name, retry_policy=RETRIES, out=dg.Out(dg.Nothing), description="Send the message.")
    def send(
        context: dg.OpExecutionContext,
        message: dict[str, str],
        clock: dg.ResourceParam[Clock],
        settings: dg.ResourceParam[Settings],
    ) -> None:
        from topo_pipeline.alerts.delivery import Undelivered, chat_of
        from topo_pipeline.alerts.mail import mail_of

        destination = chat_of(settings) if name == _CHAT else mail_of(settings, clock)
        if destination is None:  # the settings have changed since the definitions were loaded
            raise ExplainedFailure("This destination is no longer configured.")
        try:
            destination.send(message["text"], Path(message["report"]))
        except Undelivered as error:
            sentence = pasteable(f"Not delivered: {error}.")
            raise (dg.Failure if error.may_retry else ExplainedFailure)(sentence) from None
        context.log.info(f"Delivered: {destination.place}")

    return send
