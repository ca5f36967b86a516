"""Load what a list endpoint returns, such as the sequences with their names."""

from collections.abc import Callable

import msgspec

from topo_pipeline.days import Clock
from topo_pipeline.ingest.session import connected
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.wire import ListItem
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import land_list


def load_list(
    connect: Callable[[], TopoClient], warehouse: Warehouse, model: type[ListItem], table: str, *, clock: Clock
) -> int | None:
    """Read the items of a list and land them in `topo.<table>`. Items that are not read stay unchanged.

    Returns:
        The number of items now in the warehouse. None if none could be read.

    Raises:
        TopoError: the key is refused.
        WarehouseError: the warehouse can't be used.
    """
    import pandas as pd  # noqa: PLC0415 - not needed to load the definitions

    warehouse.prepare()
    with connected(connect) as (client, portal):
        items = portal.call(client.read_all, model)
    if items is None:
        return None
    rows = [msgspec.structs.astuple(item) for item in items]
    frame = pd.DataFrame(rows, columns=model.__struct_fields__, dtype=object)
    with warehouse.transaction() as connection:
        return land_list(connection, table, frame, now=clock())
