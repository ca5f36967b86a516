"""Topo engagement, proved complete and counted honestly."""

import logging

import stamina.instrumentation
from stamina.instrumentation import RetryDetails


def _log_retry(details: RetryDetails) -> None:
    fault = str(details.caused_by).partition("\n")[0][:200]
    logging.getLogger(__name__).warning("%s; trying again in %.1f s", fault, details.wait_for)


# One line a retry, in the run's log too: left alone, stamina prints records wherever structlog is about (Dagster's is).
stamina.instrumentation.set_on_retry_hooks([_log_retry])
