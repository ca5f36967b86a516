"""The contract checks that are stored in the warehouse."""

from datetime import UTC, date, datetime, timedelta

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.contract_checks import (
    StoredResult,
    day_for_a_sample,
    has_landed_activities,
    latest_contract_check,
    store_contract_check,
)
from topo_pipeline_tests.warehouse.builders import activity, land_into, noon, reading

FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)


def results(outcome: str) -> list[StoredResult]:
    return [StoredResult(name, outcome, "seen", "consequence", name == "one") for name in ("one", "two")]


def keep(warehouse: Warehouse, outcome: str, checked_at: datetime) -> None:
    with warehouse.transaction() as connection:
        store_contract_check(connection, results(outcome), checked_at=checked_at)


def test_the_latest_check_is_used(warehouse: Warehouse) -> None:
    warehouse.prepare()
    with warehouse.reader() as connection:
        assert latest_contract_check(connection) is None
    keep(warehouse, "differs", FIRST + timedelta(days=1))
    keep(warehouse, "holds", FIRST)
    with warehouse.reader() as connection:
        latest = latest_contract_check(connection)
    assert latest
    assert latest[0] == FIRST + timedelta(days=1)
    assert sorted(latest[1], key=lambda result: result.assumption) == results("differs")


def test_a_warehouse_has_activities_after_a_day_with_some_has_landed(warehouse: Warehouse) -> None:
    def has_some() -> bool:
        with warehouse.reader() as connection:
            return has_landed_activities(connection)

    land_into(warehouse, reading(day=date(2026, 3, 1)), now=FIRST)
    assert not has_some()
    day = date(2026, 3, 2)
    land_into(warehouse, reading(activity(1, at=noon(day)), day=day), now=FIRST + timedelta(days=2))
    assert has_some()


def test_the_sample_day_is_the_latest_closed_day_with_enough_activities(warehouse: Warehouse) -> None:
    def sampled(rows: int) -> tuple[datetime, datetime] | None:
        with warehouse.reader() as connection:
            return day_for_a_sample(connection, rows)

    bounds = {}
    for number, (rows, is_open) in {2: (3, False), 3: (2, False), 4: (1, False), 5: (3, True)}.items():
        day = date(2026, 3, number)
        day_reading = reading(*(activity(10 * number + n, at=noon(day)) for n in range(rows)), day=day, is_open=is_open)
        land_into(warehouse, day_reading, now=noon(day) + timedelta(days=1))
        bounds[number] = day_reading.asked_after, day_reading.asked_before
    assert [sampled(rows) for rows in (1, 2, 3)] == [bounds[4], bounds[3], bounds[2]]
    assert sampled(4) is None
