"""Stamina, which repeats what fails, made to log one line a retry: whoever repeats anything takes it from here."""

import logging
from contextvars import ContextVar

import stamina
import stamina.instrumentation
from stamina.instrumentation import RetryDetails

__all__ = ["retry_level", "stamina"]

retry_level = ContextVar("retry_level", default=logging.WARNING)
"""The level of these lines; lower where giving up is no more than a warning."""


def _log_retry(details: RetryDetails) -> None:
    fault = str(details.caused_by).partition("\n")[0][:200]
    logging.getLogger(__package__).log(retry_level.get(), "%s; trying again in %.1f s", fault, details.wait_for)


# One line a retry, in the run's log too: left alone, stamina prints records wherever structlog is about (Dagster's is).
stamina.instrumentation.set_on_retry_hooks([_log_retry])
