"""What is not believed is not landed: a day that shrinks away, another organization, another time zone."""

from uuid import UUID

import pytest

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import ShrinkingDay, WarehouseError
from topo_pipeline.warehouse.workspace import keep_to_organization, keep_to_timezone
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


@pytest.mark.parametrize(
    ("landed", "left", "believed"),
    [(100, 50, True), (100, 49, False), (41, 21, True), (41, 20, False), (20, 0, True), (21, 0, False), (0, 0, True)],
)
def test_a_reload_may_take_away_twenty_rows_or_half_of_a_day(
    file_warehouse: Warehouse, landed: int, left: int, believed: bool
) -> None:
    whole = reading(*(activity(n) for n in range(landed)))
    land_into(file_warehouse, whole)
    before = snapshot(file_warehouse)
    less = reading(*(activity(n) for n in range(left)))
    if believed:
        assert land_into(file_warehouse, less, LATER).removed == landed - left
        return
    with pytest.raises(ShrinkingDay, match=f"{landed - left} of its {landed} .*--allow-shrink 2026-03-01"):
        land_into(file_warehouse, less, LATER)
    assert snapshot(file_warehouse) == before


def test_a_day_that_is_allowed_to_shrink_shrinks_and_its_rows_are_kept_as_changes(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(*(activity(n) for n in range(60))))
    assert land_into(file_warehouse, reading(), LATER, may_shrink=True).removed == 60
    assert ask(file_warehouse, "SELECT count(*) FROM topo.activity_changes WHERE change = 'removed'") == [(60,)]


def test_rows_that_come_and_go_in_one_reload_are_judged_by_what_goes(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(*(activity(n) for n in range(40))))
    with pytest.raises(ShrinkingDay):
        land_into(file_warehouse, reading(*(activity(n) for n in range(100, 200))), LATER)


def test_the_first_organization_that_a_payload_names_is_the_warehouses(file_warehouse: Warehouse) -> None:
    with file_warehouse.transaction() as connection:
        keep_to_timezone(connection, "UTC", now=LANDED)
    land_into(file_warehouse, reading(activity(1), of_organization(2, OURS)))
    before = snapshot(file_warehouse)
    with pytest.raises(WarehouseError, match=f"holds organization {OURS}.*{THEIRS}"):
        land_into(file_warehouse, reading(of_organization(3, THEIRS), day=NEXT_DAY), LATER)
    assert snapshot(file_warehouse) == before
    land_into(file_warehouse, reading(activity(4), of_organization(5, OURS), day=NEXT_DAY), LATER)


def test_a_reading_of_two_organizations_lands_nothing(file_warehouse: Warehouse) -> None:
    with file_warehouse.transaction() as connection:
        keep_to_timezone(connection, "UTC", now=LANDED)
    with pytest.raises(WarehouseError):
        land_into(file_warehouse, reading(of_organization(1, OURS), of_organization(2, THEIRS)))
    assert ask(file_warehouse, "SELECT organization_id FROM topo.workspace") == [(None,)]
    assert ask(file_warehouse, "SELECT count(*) FROM topo.activities") == [(0,)]


def test_a_warehouse_keeps_to_the_first_organization_and_time_zone(warehouse: Warehouse) -> None:
    for _ in range(2):  # to say the same again changes nothing
        with warehouse.transaction() as connection:
            keep_to_timezone(connection, "Europe/Paris", now=LANDED)
            keep_to_organization(connection, UUID(OURS))
    assert ask(warehouse, "SELECT organization_id, timezone, bound_at FROM topo.workspace") == [
        (UUID(OURS), "Europe/Paris", LANDED)
    ]
    with pytest.raises(WarehouseError, match="TOPO_TIMEZONE=Europe/Paris"), warehouse.transaction() as connection:
        keep_to_timezone(connection, "UTC", now=LATER)
    with pytest.raises(WarehouseError, match=OURS), warehouse.transaction() as connection:
        keep_to_organization(connection, UUID(THEIRS))
    assert ask(warehouse, "SELECT organization_id, timezone, bound_at FROM topo.workspace") == [
        (UUID(OURS), "Europe/Paris", LANDED)
    ]


def test_a_reload_that_changes_every_row_takes_none_away(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(*(activity(n) for n in range(60))))
    load = land_into(file_warehouse, reading(*(activity(n, '{"type":"message.replied"}') for n in range(60))), LATER)
    assert (load.rows, load.changed, load.removed) == (60, 60, 0)
