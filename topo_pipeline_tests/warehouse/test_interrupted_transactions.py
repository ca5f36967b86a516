"""An interrupted transaction changes neither the tables nor the ledger, and leaves no lock."""

from dataclasses import replace

import pytest

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.warehouse.builders import (
    DAY,
    LATER,
    LONE_SURROGATE,
    activity,
    land_into,
    landing_in,
    noon,
    reading,
    records,
    snapshot,
)
from topo_pipeline_tests.warehouse.worker import worker

FIRST = reading(*(activity(number) for number in range(30)), rejects=(("{", "cut"),))
SECOND = reading(
    *(activity(number, '{"type":"message.replied"}') for number in range(10)),
    activity(99, LONE_SURROGATE, at=noon()),
    rejects=(("[", "cut"),),
)


def test_a_crash_after_landing_keeps_the_old_day_and_ledger(warehouse: Warehouse) -> None:
    land_into(warehouse, FIRST)
    before = snapshot(warehouse)
    with pytest.raises(KeyboardInterrupt), landing_in(warehouse) as (_, land):
        land(SECOND, LATER, "crashing", may_shrink=True)
        raise KeyboardInterrupt
    assert snapshot(warehouse) == before
    assert land_into(warehouse, SECOND, now=LATER).changed == 10


def test_a_crash_in_the_first_transaction_leaves_a_usable_warehouse(warehouse: Warehouse) -> None:
    with pytest.raises(RuntimeError), landing_in(warehouse) as (_, land):
        land(FIRST, LATER, "crashing", may_shrink=True)
        raise RuntimeError
    land_into(warehouse, SECOND)
    assert [row["run_id"] for row in records(warehouse, "topo.loads")] == ["run"]


def test_a_killed_process_keeps_the_old_day_and_leaves_no_lock(warehouse: Warehouse) -> None:
    land_into(warehouse, FIRST)
    before = snapshot(warehouse)
    with worker(warehouse, "hold", DAY) as other:
        other.expect("inside")
        other.kill()
    no_wait = replace(warehouse, wait_seconds=0.001)  # a process that has ended holds no lock
    assert snapshot(no_wait) == before
    assert land_into(no_wait, SECOND, now=LATER).changed == 10
