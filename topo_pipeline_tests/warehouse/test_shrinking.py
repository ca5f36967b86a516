"""A reload that removes too much of a day is not believed, compared with the day's largest load."""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

import pytest

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.erasure import erase
from topo_pipeline.warehouse.errors import ShrinkingDay
from topo_pipeline.warehouse.landing import Load
from topo_pipeline.warehouse.shrinking import largest_load
from topo_pipeline.warehouse.workspace import bind_timezone
from topo_pipeline_tests.warehouse.builders import (
    LANDED,
    LATER,
    Activity,
    activity,
    ask,
    land_into,
    reading,
    snapshot,
    uuid_of,
)
from topo_pipeline_tests.warehouse.conftest import ON_A_LAKE_TOO

ADA = UUID(uuid_of(0xADA))
ALLOW = "topo-pipeline backfill 2026-03-01 2026-03-01 --allow-shrink 2026-03-01"


def rows(numbers: Iterable[int]) -> list[Activity]:
    return [activity(number) for number in numbers]


def of_ada(numbers: Iterable[int]) -> list[Activity]:
    return [activity(number, {"type": "message.sent", "person_id": str(ADA)}) for number in numbers]


def land_sizes(warehouse: Warehouse, *sizes: int) -> Load:
    """Land the day with each of these sizes in turn; return the last load."""
    loads = [
        land_into(warehouse, reading(*rows(range(size))), now=LANDED + timedelta(hours=hours))
        for hours, size in enumerate(sizes)
    ]
    return loads[-1]


def refusal(
    warehouse: Warehouse, *received: Activity, **unreadable: tuple[int, ...] | tuple[tuple[str, str], ...]
) -> str:
    """Land what a refused reload received; return what it says, after seeing that it changed nothing."""
    before = snapshot(warehouse)
    with pytest.raises(ShrinkingDay) as refused:
        land_into(warehouse, reading(*received, **unreadable), now=LATER)
    assert snapshot(warehouse) == before
    return str(refused.value)


@pytest.mark.parametrize(
    ("sizes", "left", "is_believed"),
    [
        ([200], 160, True),
        ([200], 159, False),
        ([100], 80, True),
        ([100], 79, False),
        ([50], 30, True),
        ([50], 29, False),
        ([20], 0, True),
        ([21], 0, False),
        ([0], 0, True),
        ([200, 181], 160, True),  # 40 of the 200 of its largest load
        ([200, 181], 159, False),
        ([200, 181], 109, False),
        ([200, 181, 300], 240, True),  # the largest load is a later one
        ([200, 181, 300], 239, False),
        ([200, 195, 190, 185, 180, 175, 170, 165, 160], 159, False),
    ],
)
def test_a_day_may_lose_twenty_rows_or_a_fifth_of_its_largest_load(
    file_warehouse: Warehouse, sizes: list[int], left: int, is_believed: bool
) -> None:
    land_sizes(file_warehouse, *sizes)
    if is_believed:
        assert land_into(file_warehouse, reading(*rows(range(left))), LATER).removed == sizes[-1] - left
        return
    said = refusal(file_warehouse, *rows(range(left)))
    assert f"would remove {sizes[-1] - left} of its {sizes[-1]} activities" in said
    assert said.endswith(ALLOW)
    lost = max(sizes) - left
    assert (f"{lost} of the {max(sizes)} activities of its largest load" in said) == (lost > sizes[-1] - left)


@ON_A_LAKE_TOO
def test_a_day_that_is_allowed_to_shrink_shrinks_and_its_rows_are_kept_as_changes(warehouse: Warehouse) -> None:
    land_sizes(warehouse, 60)
    assert land_into(warehouse, reading(), LATER, may_shrink=True).removed == 60
    assert ask(warehouse, "SELECT count(*) FROM topo.activity_changes WHERE change = 'removed'") == [(60,)]


def test_after_a_load_that_was_allowed_to_shrink_a_day_is_compared_with_that_load(file_warehouse: Warehouse) -> None:
    land_sizes(file_warehouse, 200, 190)
    land_into(file_warehouse, reading(*rows(range(100))), LATER, may_shrink=True)
    later = LATER + timedelta(hours=1)
    assert land_into(file_warehouse, reading(*rows(range(80))), later).removed == 20
    assert "21 of the 100" in refusal(file_warehouse, *rows(range(79)))


def test_rows_that_come_and_go_in_one_reload_are_judged_by_the_rows_that_go(file_warehouse: Warehouse) -> None:
    land_sizes(file_warehouse, 40)
    assert "would remove 40 of its 40" in refusal(file_warehouse, *rows(range(100, 200)))


def test_a_reload_that_changes_every_row_removes_none(file_warehouse: Warehouse) -> None:
    land_sizes(file_warehouse, 60)
    load = land_into(file_warehouse, reading(*(activity(n, '{"type":"message.replied"}') for n in range(60))), LATER)
    assert (load.rows, load.changed, load.removed) == (60, 60, 0)


@pytest.mark.parametrize("forgets_too", [False, True], ids=["Topo still sends her", "Topo has erased her too"])
def test_the_rows_of_an_erased_person_are_not_missed(file_warehouse: Warehouse, forgets_too: bool) -> None:
    with file_warehouse.transaction() as connection:
        bind_timezone(connection, "UTC", now=LANDED)
    hers = of_ada(range(1000, 1100))
    land_into(file_warehouse, reading(*rows(range(100)), *hers))
    land_into(file_warehouse, reading(*rows(range(95)), *hers), LANDED + timedelta(hours=1))
    with file_warehouse.transaction() as connection:
        erase(connection, ADA, now=LATER)
    shown = [] if forgets_too else hers
    assert land_into(file_warehouse, reading(*rows(range(80)), *shown), LATER).removed == 15
    said = refusal(file_warehouse, *rows(range(79)), *shown)
    assert "would remove 1 of its 80 activities" in said
    assert "21 of the 100 activities" in said


def test_rows_that_are_left_out_once_a_person_is_erased_are_not_missed(file_warehouse: Warehouse) -> None:
    """A run that the person enters later takes the rows along that it had before."""
    with file_warehouse.transaction() as connection:
        bind_timezone(connection, "UTC", now=LANDED)
    run = uuid_of(0xADA1)
    of_the_run = [activity(n, {"type": "sequence.completed", "sequence_id": run}) for n in range(100)]
    enters = activity(1000, {"type": "sequence.created", "person_id": str(ADA), "sequence_id": run})
    land_into(file_warehouse, reading(*of_the_run, *of_ada([2000])))
    with file_warehouse.transaction() as connection:
        erase(connection, ADA, now=LATER)
    load = land_into(file_warehouse, reading(*of_the_run, enters), LATER)
    assert (load.rows, load.removed, load.suppressed) == (0, 100, 101)


def test_rows_that_came_back_unreadable_are_not_missed_and_stay(file_warehouse: Warehouse) -> None:
    land_sizes(file_warehouse, 100)
    load = land_into(file_warehouse, reading(*rows(range(20)), rejected=tuple(range(20, 100))), LATER)
    assert (load.rows, load.removed, load.rejects) == (100, 0, 80)


def without_id(count: int) -> tuple[tuple[str, str], ...]:
    return tuple((f'{{"id":{number}}}', "no uuid as `id`") for number in range(count))


def test_where_unreadable_rows_without_an_id_explain_the_loss_to_allow_it_is_not_the_first_thing_offered(
    file_warehouse: Warehouse,
) -> None:
    land_sizes(file_warehouse, 100)
    said = refusal(file_warehouse, *rows(range(30)), rejects=without_id(60))
    assert "would remove 70 of its 100" in said
    assert "Up to 60 of the missing ones may have come back unreadable." in said
    assert said.index("Read the day again later") < said.index("Only if the missing ones are gone") < said.index(ALLOW)


def test_where_unreadable_rows_explain_too_little_of_the_loss_both_numbers_are_said(file_warehouse: Warehouse) -> None:
    land_sizes(file_warehouse, 100)
    said = refusal(file_warehouse, *rows(range(30)), rejects=without_id(3), rejected=(31, 32))
    assert "would remove 68 of its 100" in said
    assert "2 others came back unreadable and would stay" in said
    assert "Up to 3 of the missing ones may have come back unreadable." in said
    assert said.endswith(f"If they are gone from Topo for good, allow it: {ALLOW}")


@pytest.mark.parametrize(
    ("landed", "loads", "largest"),
    [
        (0, [], 0),
        (200, [(200, 0)], 200),
        (181, [(200, 0), (0, 19)], 200),
        (230, [(200, 0), (0, 20), (50, 0)], 230),
        (109, [(200, 0), (0, 19), (0, 72)], 109),  # which only a person can have allowed
        (90, [(200, 0), (0, 100), (0, 10)], 100),
        (140, [(200, 0)], 140),  # 60 were erased since
        (0, [(200, 0), (0, 5)], 5),  # all of what was left was erased
    ],
)
def test_the_largest_load_is_counted_back_from_what_is_landed_to_the_last_load_that_was_allowed_to_shrink(
    landed: int, loads: list[tuple[int, int]], largest: int
) -> None:
    assert largest_load(landed, loads) == largest
