"""An interrupted transaction changes neither the tables nor the ledger, and leaves no lock."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import pytest

from topo_pipeline.warehouse.catalogue import tables_of
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.transactions import uninterrupted
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


class Terminated(BaseException):
    """What Dagster raises if a run is terminated is such an exception too."""


@pytest.fixture
def terminate_in() -> Iterator[Callable[[float], None]]:
    """A function that has a signal raise `Terminated` after so many seconds."""

    def terminate(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGALRM, terminate)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_what_interrupts_a_statement_is_raised_and_the_warehouse_can_be_used_at_once(
    warehouse: Warehouse, terminate_in: Callable[[float], None]
) -> None:
    land_into(warehouse, FIRST)
    before = snapshot(warehouse)
    with pytest.raises(Terminated), warehouse.transaction() as connection:
        connection.execute("DELETE FROM topo.activities")
        terminate_in(0.05)
        connection.execute("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b")
    assert snapshot(replace(warehouse, wait_seconds=0.001)) == before


def test_a_commit_around_an_interruption_is_whole_or_undone_and_the_warehouse_can_be_used_at_once(
    warehouse: Warehouse, terminate_in: Callable[[float], None]
) -> None:
    warehouse.prepare()
    with pytest.raises(Terminated):
        with warehouse.transaction() as connection:
            connection.execute("CREATE TABLE topo.large AS SELECT range, hash(range) AS hash FROM range(1000000)")
            terminate_in(0.01)  # during the commit, unless the machine is busy
        for _ in count():
            pass
    with replace(warehouse, wait_seconds=0.001).reader() as connection:
        if ("topo", "large") in tables_of(connection):
            assert connection.execute("SELECT count(*) FROM topo.large").fetchone() == (1000000,)


@pytest.mark.usefixtures("terminate_in")
def test_a_signal_waits_until_what_may_not_be_interrupted_has_ended() -> None:
    reached = False
    with pytest.raises(Terminated), uninterrupted():
        signal.raise_signal(signal.SIGALRM)
        reached = True
    assert reached
    with pytest.raises(Terminated):
        signal.raise_signal(signal.SIGALRM)


@pytest.mark.usefixtures("terminate_in")
def test_a_signal_that_interrupts_the_restoring_of_handlers_is_raised_and_later_ones_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    with pytest.raises(Terminated), uninterrupted():
        monkeypatch.setattr(signal, "signal", lambda *_: signal.raise_signal(signal.SIGALRM))
    monkeypatch.undo()
    with pytest.raises(Terminated):
        signal.raise_signal(signal.SIGALRM)
    for number, handler in handlers.items():
        if callable(handler):
            signal.signal(number, handler)
