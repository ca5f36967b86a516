"""Stamina, configured to log one line for each retry. Import it from here."""

import logging
from contextvars import ContextVar

import stamina
import stamina.instrumentation
from stamina.instrumentation import RetryDetails

from topo_pipeline.common.text import first_line

__all__ = ["retry_level", "stamina"]

retry_level = ContextVar("retry_level", default=logging.WARNING)
"""Log level of these lines. Lower where giving up is only a warning."""


def _log_retry(details: RetryDetails) -> None:
    fault = first_line(details.caused_by)[:200]
    logging.getLogger(__package__).log(retry_level.get(), "Retrying in %.1f s: %s", details.wait_for, fault)


# One line for each retry, also in the run's log. By default stamina logs through structlog, which Dagster installs.
stamina.instrumentation.set_on_retry_hooks([_log_retry])
