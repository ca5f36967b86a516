"""Turn what the rooms raise into a failure that Dagster shows as one sentence and does not repeat, and read it back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import dagster as dg

from topo_pipeline.settings import SettingsError
from topo_pipeline.topo_api.errors import TopoError
from topo_pipeline.warehouse.errors import WarehouseError


class Fault(NamedTuple):
    """Why a step failed.

    Attributes:
        sentence: our own words, where it is a failure of our own making.
        kind: the class of what was raised first.
        detail: the first line of what it says, which may quote anything.
    """

    sentence: str | None
    kind: str
    detail: str


def fault_of(event: dg.DagsterEvent) -> Fault:
    """What is behind a step's failure."""
    told, cause = event.step_failure_data.user_failure_data, event.step_failure_data.error
    while cause is not None and cause.cause is not None:
        cause = cause.cause
    return Fault(
        told.description or None if told is not None else None,
        (cause.cls_name if cause else None) or "a fault",
        cause.message.strip().partition("\n")[0] if cause else "no reason given",
    )


@contextmanager
def one_sentence() -> Iterator[None]:
    """Raise `dg.Failure` in the place of our own errors: a retry would meet the same."""
    try:
        yield
    except (SettingsError, TopoError, WarehouseError) as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
