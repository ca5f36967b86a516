"""Turn our own exceptions into Dagster failures with one message and no retries, and read the cause of a failure."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import dagster as dg

from topo_pipeline.settings import SettingsError
from topo_pipeline.topo_api.errors import TopoError
from topo_pipeline.warehouse.errors import WarehouseError


class Cause(NamedTuple):
    """Why a step failed.

    Attributes:
        sentence: our own description; None for an unexpected exception.
        kind: the class of the first exception in the chain.
        detail: the first line of its message, which may quote any data.
    """

    sentence: str | None
    kind: str
    detail: str


def cause_of(event: dg.DagsterEvent) -> Cause:
    """Return the cause of a step's failure."""
    failure, cause = event.step_failure_data.user_failure_data, event.step_failure_data.error
    while cause is not None and cause.cause is not None:
        cause = cause.cause
    return Cause(
        failure.description or None if failure is not None else None,
        (cause.cls_name if cause else None) or "an error",
        cause.message.strip().partition("\n")[0] if cause else "no reason given",
    )


@contextmanager
def as_dagster_failure() -> Iterator[None]:
    """Raise `dg.Failure` without retries in place of our own errors. A retry would fail the same way."""
    try:
        yield
    except (SettingsError, TopoError, WarehouseError) as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
