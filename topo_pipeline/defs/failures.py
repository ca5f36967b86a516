"""Turn what the rooms raise into a failure that Dagster shows as one sentence and does not repeat."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from topo_pipeline.settings import SettingsError
from topo_pipeline.topo_api.errors import TopoError
from topo_pipeline.warehouse.errors import WarehouseError


@contextmanager
def one_sentence() -> Iterator[None]:
    """Raise `dg.Failure` in the place of our own errors: a retry would meet the same."""
    try:
        yield
    except (SettingsError, TopoError, WarehouseError) as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
