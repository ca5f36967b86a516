"""A warehouse is bound to an organization and a time zone."""

from uuid import UUID

import pytest

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.workspace import bind_organization, bind_timezone
from topo_pipeline_tests.warehouse.builders import (
    LANDED,
    LATER,
    NEXT_DAY,
    activity,
    ask,
    land_into,
    reading,
    snapshot,
    uuid_of,
)

OURS, THEIRS = uuid_of(901), uuid_of(902)


def of_organization(number: int, organization: str) -> tuple[str, object, str]:
    return activity(number, {"type": "message.sent", "organization_id": organization})


def test_a_warehouse_accepts_only_its_first_organization(file_warehouse: Warehouse) -> None:
    with file_warehouse.transaction() as connection:
        bind_timezone(connection, "UTC", now=LANDED)
    land_into(file_warehouse, reading(activity(1), of_organization(2, OURS)))
    before = snapshot(file_warehouse)
    with pytest.raises(WarehouseError, match=f"holds organization {OURS}.*{THEIRS}"):
        land_into(file_warehouse, reading(of_organization(3, THEIRS), day=NEXT_DAY), LATER)
    assert snapshot(file_warehouse) == before
    land_into(file_warehouse, reading(activity(4), of_organization(5, OURS), day=NEXT_DAY), LATER)


def test_a_reading_with_two_organizations_does_not_land(file_warehouse: Warehouse) -> None:
    with file_warehouse.transaction() as connection:
        bind_timezone(connection, "UTC", now=LANDED)
    with pytest.raises(WarehouseError):
        land_into(file_warehouse, reading(of_organization(1, OURS), of_organization(2, THEIRS)))
    assert ask(file_warehouse, "SELECT organization_id FROM topo.workspace") == [(None,)]
    assert ask(file_warehouse, "SELECT count(*) FROM topo.activities") == [(0,)]


def test_a_warehouse_keeps_its_first_organization_and_time_zone(warehouse: Warehouse) -> None:
    for _ in range(2):  # binding again to the same changes nothing
        with warehouse.transaction() as connection:
            bind_timezone(connection, "Europe/Paris", now=LANDED)
            bind_organization(connection, UUID(OURS))
    assert ask(warehouse, "SELECT organization_id, timezone, bound_at FROM topo.workspace") == [
        (UUID(OURS), "Europe/Paris", LANDED)
    ]
    with pytest.raises(WarehouseError, match="TOPO_TIMEZONE=Europe/Paris"), warehouse.transaction() as connection:
        bind_timezone(connection, "UTC", now=LATER)
    with pytest.raises(WarehouseError, match=OURS), warehouse.transaction() as connection:
        bind_organization(connection, UUID(THEIRS))
    assert ask(warehouse, "SELECT organization_id, timezone, bound_at FROM topo.workspace") == [
        (UUID(OURS), "Europe/Paris", LANDED)
    ]
