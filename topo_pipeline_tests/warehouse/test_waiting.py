"""One process writes at a time. The others wait, up to their limit."""

import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.warehouse.builders import (
    DAY,
    NEXT_DAY,
    activity,
    land_into,
    landing_in,
    path_of,
    payloads,
    reading,
    records,
    uuid_of,
)
from topo_pipeline_tests.warehouse.conftest import SetHook
from topo_pipeline_tests.warehouse.worker import WORKERS_ROW, worker


def patient(warehouse: Warehouse) -> Warehouse:
    return replace(warehouse, wait_seconds=PATIENCE)


def test_a_warehouse_that_stays_locked_is_a_one_line_error_with_its_path(
    file_warehouse: Warehouse, on_waiting: SetHook
) -> None:
    file_warehouse.prepare()
    on_waiting(lambda: None)
    no_wait = Warehouse(file_warehouse.target, wait_seconds=0.01)
    with worker(file_warehouse, "hold", DAY) as holder:
        holder.expect("inside")
        for open_as in (no_wait.transaction, no_wait.reader):
            with pytest.raises(WarehouseError) as caught, open_as():
                pass
            assert str(path_of(file_warehouse)) in str(caught.value)
            assert "\n" not in str(caught.value)
        holder.resume()
        holder.expect("landed")
    assert payloads(file_warehouse).keys() == {uuid_of(WORKERS_ROW)}


def test_a_writer_waits_for_another_process_and_sees_its_rows(warehouse: Warehouse, on_waiting: SetHook) -> None:
    warehouse.prepare()
    with worker(warehouse, "hold", DAY) as holder:
        holder.expect("inside")
        on_waiting(holder.resume)
        load = land_into(patient(warehouse), reading(activity(1)))
        holder.expect("landed")
    assert (load.rows, load.removed) == (1, 1)
    assert [row["run_id"] for row in records(warehouse, "topo.loads")].count("worker") == 1


def test_two_processes_write_one_after_the_other(file_warehouse: Warehouse) -> None:
    with ExitStack() as workers:
        with file_warehouse.transaction():
            one, two = (workers.enter_context(worker(file_warehouse, "land", day)) for day in (DAY, NEXT_DAY))
            one.expect("waiting")
            two.expect("waiting")
        one.expect("landed")
        two.expect("landed")
    assert sorted(row["day"] for row in records(file_warehouse, "topo.loads")) == [DAY, NEXT_DAY]
    assert len(records(file_warehouse, "topo.activities")) == 2


def test_a_reader_waits_for_a_writer_in_the_same_process(on_disk: Warehouse, on_waiting: SetHook) -> None:
    waiting = threading.Event()
    seen: list[str] = []
    on_waiting(waiting.set)

    def read() -> None:
        seen.extend(payloads(patient(on_disk)))

    thread = threading.Thread(target=read)
    with landing_in(on_disk) as (_, land):
        thread.start()
        assert waiting.wait(PATIENCE)
        land(reading(activity(1)))
    thread.join(PATIENCE)
    assert seen == [uuid_of(1)]


def test_writers_in_threads_land_all_days(file_warehouse: Warehouse, on_waiting: SetHook) -> None:
    waiting = threading.Event()
    on_waiting(waiting.set)
    days = [DAY + timedelta(days=number) for number in range(3)]

    def write(number: int) -> None:
        land_into(patient(file_warehouse), reading(activity(number), day=days[number]))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    with file_warehouse.transaction():
        for thread in threads:
            thread.start()
        assert waiting.wait(PATIENCE)
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(row["day"] for row in records(file_warehouse, "topo.loads")) == days


def test_readers_of_one_process_read_concurrently(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(activity(1)))
    no_wait = Warehouse(file_warehouse.target, wait_seconds=0.01)
    with no_wait.reader() as one, no_wait.reader() as two:
        for connection in (one, two):
            assert connection.execute("SELECT count(*) FROM topo.activities").fetchall() == [(1,)]
