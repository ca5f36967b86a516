"""A reload that removes too many rows, compared with the day's largest load, is refused."""

from collections.abc import Iterable
from datetime import date, timedelta
from uuid import UUID

import pytest

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.erasure import erase
from topo_pipeline.warehouse.errors import ShrinkingDay
from topo_pipeline.warehouse.landing import Load, ReadDay
from topo_pipeline.warehouse.shrinking import largest_load
from topo_pipeline.warehouse.workspace import bind_timezone
from topo_pipeline_tests.warehouse.builders import (
    DAY,
    LANDED,
    LANDING_TABLES,
    LATER,
    Activity,
    activity,
    ask,
    land_into,
    landing_in,
    noon,
    reading,
    records_of,
    snapshot,
    uuid_of,
)
from topo_pipeline_tests.warehouse.conftest import IN_EVERY_PLACE

ADA = UUID(uuid_of(0xADA))
ALLOW_COMMAND = "topo-pipeline backfill 2026-03-01 --allow-shrink 2026-03-01"


def rows(numbers: Iterable[int], day: date = DAY) -> list[Activity]:
    return [activity(number, at=noon(day) + timedelta(milliseconds=number)) for number in numbers]


def rows_of_ada(numbers: Iterable[int]) -> list[Activity]:
    return [activity(number, {"type": "message.sent", "person_id": str(ADA)}) for number in numbers]


def land_sizes(warehouse: Warehouse, *sizes: int) -> Load:
    """Land the day with each of these sizes in turn. Return the last load."""
    loads = [
        land_into(warehouse, reading(*rows(range(size))), now=LANDED + timedelta(hours=hours))
        for hours, size in enumerate(sizes)
    ]
    return loads[-1]


def refused_reload(
    warehouse: Warehouse, *received: Activity, **unreadable: tuple[int, ...] | tuple[tuple[str, str], ...]
) -> str:
    """Return the error of a refused reload, which must not change anything."""
    before = snapshot(warehouse)
    with pytest.raises(ShrinkingDay) as refused:
        land_into(warehouse, reading(*received, **unreadable), now=LATER)
    assert snapshot(warehouse) == before
    return str(refused.value)


# The sizes of a day's loads, how many rows may remain in the next one, and how many may not.
SIZES: list[tuple[list[int], int, list[int]]] = [
    ([200], 160, [159]),
    ([100], 80, [79]),
    ([50], 30, [29]),
    ([20], 0, []),
    ([21], 1, [0]),
    ([0], 0, []),
    ([200, 181], 160, [159, 109]),  # 40 of the 200 in its largest load
    ([200, 181, 300], 240, [239]),  # the largest load is a later one
    ([200, 190, 180, 170, 160], 160, [159]),
]


def test_a_day_may_lose_20_rows_or_20_percent_of_its_largest_load(file_warehouse: Warehouse) -> None:
    """Each case is on a day of its own. The error comes before anything is changed."""
    with landing_in(file_warehouse) as (connection, land):
        for number, (sizes, accepted, refused) in enumerate(SIZES):
            day = DAY + timedelta(days=number)

            def sized(size: int, number: int = number, day: date = day) -> ReadDay:
                return reading(*rows(range(1000 * number, 1000 * number + size), day), day=day)

            for hours, size in enumerate(sizes):
                land(sized(size), LANDED + timedelta(hours=hours))
            before = {table: records_of(connection, f"topo.{table}") for table in LANDING_TABLES}
            for remaining in refused:
                with pytest.raises(ShrinkingDay) as error:
                    land(sized(remaining), LATER)
                assert {table: records_of(connection, f"topo.{table}") for table in LANDING_TABLES} == before
                message, lost = str(error.value), max(sizes) - remaining
                assert f"would remove {sizes[-1] - remaining} of its {sizes[-1]} activities" in message
                assert message.endswith(f"topo-pipeline backfill {day} --allow-shrink {day}")
                of_largest = f"{lost} of the {max(sizes)} activities of its largest load" in message
                assert of_largest == (lost > sizes[-1] - remaining)
            assert land(sized(accepted), LATER).removed == sizes[-1] - accepted, sizes


@IN_EVERY_PLACE
def test_a_day_that_may_shrink_keeps_its_removed_rows_as_changes(warehouse: Warehouse) -> None:
    land_sizes(warehouse, 60)
    assert land_into(warehouse, reading(), LATER, may_shrink=True).removed == 60
    assert ask(warehouse, "SELECT count(*) FROM topo.activity_changes WHERE change = 'removed'") == [(60,)]


def test_after_an_allowed_shrink_a_day_is_compared_with_that_load(file_warehouse: Warehouse) -> None:
    land_sizes(file_warehouse, 200, 190)
    land_into(file_warehouse, reading(*rows(range(100))), LATER, may_shrink=True)
    later = LATER + timedelta(hours=1)
    assert land_into(file_warehouse, reading(*rows(range(80))), later).removed == 20
    assert "21 of the 100" in refused_reload(file_warehouse, *rows(range(79)))


def test_added_rows_do_not_offset_removed_rows(file_warehouse: Warehouse) -> None:
    land_sizes(file_warehouse, 40)
    assert "would remove 40 of its 40" in refused_reload(file_warehouse, *rows(range(100, 200)))


def test_changing_every_row_is_not_shrinking(file_warehouse: Warehouse) -> None:
    land_sizes(file_warehouse, 60)
    load = land_into(file_warehouse, reading(*(activity(n, '{"type":"message.replied"}') for n in range(60))), LATER)
    assert (load.rows, load.changed, load.removed) == (60, 60, 0)


@pytest.mark.parametrize("topo_erased_her", [False, True], ids=["Topo still sends her rows", "Topo has erased her too"])
def test_rows_of_an_erased_person_do_not_count_as_removed(file_warehouse: Warehouse, topo_erased_her: bool) -> None:
    with file_warehouse.transaction() as connection:
        bind_timezone(connection, "UTC", now=LANDED)
    hers = rows_of_ada(range(1000, 1100))
    land_into(file_warehouse, reading(*rows(range(100)), *hers))
    land_into(file_warehouse, reading(*rows(range(95)), *hers), LANDED + timedelta(hours=1))
    with file_warehouse.transaction() as connection:
        erase(connection, ADA, now=LATER)
    shown = [] if topo_erased_her else hers
    assert land_into(file_warehouse, reading(*rows(range(80)), *shown), LATER).removed == 15
    message = refused_reload(file_warehouse, *rows(range(79)), *shown)
    assert "would remove 1 of its 80 activities" in message
    assert "21 of the 100 activities" in message


def test_rows_left_out_after_an_erasure_do_not_count_as_removed(file_warehouse: Warehouse) -> None:
    """When the person enters a run later, the run's earlier rows are left out too."""
    with file_warehouse.transaction() as connection:
        bind_timezone(connection, "UTC", now=LANDED)
    run = uuid_of(0xADA1)
    of_the_run = [activity(n, {"type": "sequence.completed", "sequence_id": run}) for n in range(100)]
    enters = activity(1000, {"type": "sequence.created", "person_id": str(ADA), "sequence_id": run})
    land_into(file_warehouse, reading(*of_the_run, *rows_of_ada([2000])))
    with file_warehouse.transaction() as connection:
        erase(connection, ADA, now=LATER)
    load = land_into(file_warehouse, reading(*of_the_run, enters), LATER)
    assert (load.rows, load.removed, load.suppressed) == (0, 100, 101)


def test_rows_that_become_unreadable_are_kept_and_do_not_count_as_removed(file_warehouse: Warehouse) -> None:
    land_sizes(file_warehouse, 100)
    load = land_into(file_warehouse, reading(*rows(range(20)), rejected=tuple(range(20, 100))), LATER)
    assert (load.rows, load.removed, load.rejects) == (100, 0, 80)


def without_id(count: int) -> tuple[tuple[str, str], ...]:
    return tuple((f'{{"id":{number}}}', "no uuid as `id`") for number in range(count))


def test_if_unreadable_rows_explain_the_loss_the_error_suggests_reading_again_first(
    file_warehouse: Warehouse,
) -> None:
    land_sizes(file_warehouse, 100)
    message = refused_reload(file_warehouse, *rows(range(30)), rejects=without_id(60))
    assert "would remove 70 of its 100" in message
    assert "Up to 60 of the missing ones may have come back unreadable." in message
    assert (
        message.index("Read the day again later")
        < message.index("Only if the missing ones are gone")
        < message.index(ALLOW_COMMAND)
    )


def test_if_unreadable_rows_explain_part_of_the_loss_the_error_gives_both_numbers(file_warehouse: Warehouse) -> None:
    land_sizes(file_warehouse, 100)
    message = refused_reload(file_warehouse, *rows(range(30)), rejects=without_id(3), rejected=(31, 32))
    assert "would remove 68 of its 100" in message
    assert "2 others came back unreadable and would stay" in message
    assert "Up to 3 of the missing ones may have come back unreadable." in message
    assert message.endswith(f"If they are gone from Topo for good, allow it: {ALLOW_COMMAND}")


@pytest.mark.parametrize(
    ("landed", "loads", "largest"),
    [
        (0, [], 0),
        (200, [(200, 0)], 200),
        (181, [(200, 0), (0, 19)], 200),
        (230, [(200, 0), (0, 20), (50, 0)], 230),
        (109, [(200, 0), (0, 19), (0, 72)], 109),  # a person must have allowed this shrink
        (90, [(200, 0), (0, 100), (0, 10)], 100),
        (140, [(200, 0)], 140),  # 60 were erased later
        (0, [(200, 0), (0, 5)], 5),  # all remaining rows were erased
    ],
)
def test_the_largest_load_since_the_last_allowed_shrink_is_computed(
    landed: int, loads: list[tuple[int, int]], largest: int
) -> None:
    assert largest_load(landed, loads) == largest
