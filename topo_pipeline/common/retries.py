"""Stamina, configured to log one line for each retry. Import it from here."""

import logging
from contextvars import ContextVar
from dataclasses import dataclass

import stamina
import stamina.instrumentation
from stamina.instrumentation import RetryDetails

from topo_pipeline.common.text import first_line

__all__ = ["LOG", "Retry", "retry_level", "retry_subject", "stamina"]

LOG = logging.getLogger(__package__)
"""Gets a record for each retry. Its only argument is the `Retry`."""

retry_level = ContextVar("retry_level", default=logging.WARNING)
"""Log level of these lines. Lower where giving up is only a warning."""

retry_subject = ContextVar("retry_subject", default="")
"""What the retried requests are for, such as a day. Set it in the task that sends them."""


@dataclass(frozen=True)
class Retry:
    """A retry that is about to be waited for."""

    subject: str
    seconds: float
    fault: str

    def __str__(self) -> str:
        what = f" a request for {self.subject}" if self.subject else ""
        return f"Retrying{what} in {self.seconds:.1f} s: {self.fault}"


def _log_retry(details: RetryDetails) -> None:
    error = details.caused_by
    fault = first_line(error).removesuffix(getattr(error, "advice", ""))  # for when there are no more retries
    LOG.log(retry_level.get(), "%s", Retry(retry_subject.get(), details.wait_for, fault[:200]))


# One line for each retry, also in the run's log. By default stamina logs through structlog, which Dagster installs.
stamina.instrumentation.set_on_retry_hooks([_log_retry])
