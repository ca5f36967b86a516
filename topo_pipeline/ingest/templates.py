"""Load the sequences with their names."""

from collections.abc import Callable

import msgspec

from topo_pipeline.days import Clock
from topo_pipeline.ingest.session import connected
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.wire import SequenceTemplate
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import land_templates


def load_templates(connect: Callable[[], TopoClient], warehouse: Warehouse, *, clock: Clock) -> int | None:
    """Read and land the names of the sequences. Names that are not read stay unchanged.

    Returns:
        The number of sequences now in the warehouse. None if no names could be read.

    Raises:
        TopoError: the key is refused.
        WarehouseError: the warehouse can't be used.
    """
    import pandas as pd  # noqa: PLC0415 - not needed to load the definitions

    warehouse.prepare()
    with connected(connect) as (client, portal):
        templates = portal.call(client.sequence_templates)
    if templates is None:
        return None
    columns = SequenceTemplate.__struct_fields__
    frame = pd.DataFrame([msgspec.structs.astuple(template) for template in templates], columns=columns, dtype=object)
    with warehouse.transaction() as connection:
        return land_templates(connection, frame, now=clock())
