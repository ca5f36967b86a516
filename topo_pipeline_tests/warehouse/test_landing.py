"""Landing a day: its rows and its row in the ledger."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from topo_pipeline.warehouse.buffer import Buffer
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.warehouse.builders import (
    DAY,
    HOSTILE,
    LANDED,
    LATER,
    NEXT_DAY,
    activity,
    land_into,
    land_new_days,
    landing_in,
    noon,
    payloads,
    reading,
    records,
    snapshot,
    uuid_of,
)


def test_landing_a_day_stores_exactly_its_rows(warehouse: Warehouse) -> None:
    texts = {uuid_of(number): f'{{"type":"message.sent","n":{number}}}' for number in range(250)}
    load = land_into(warehouse, reading(*(activity(n, texts[uuid_of(n)]) for n in range(250))))
    assert payloads(warehouse) == texts
    assert (load.rows, load.added, load.changed, load.removed, load.rejects) == (250, 250, 0, 0, 0)


def test_the_tests_shortcut_for_new_days_writes_what_landing_them_writes(tmp_path: Path) -> None:
    quiet = reading(is_open=True, proved=False, requests=4)
    twice = activity(1, {"type": "message.sent", "channel": "LINKEDIN"})
    busy = reading(activity(1), activity(2), twice, day=NEXT_DAY, api_total_count=2)
    reads = [(quiet, LANDED), (busy, LATER)]
    landed, quick = (Warehouse(str(tmp_path / f"{name}.duckdb")) for name in ("landed", "quick"))
    for read, now in reads:
        land_into(landed, read, now, "a run")
    with Buffer() as buffer, quick.transaction(buffer=buffer):
        land_new_days(buffer, reads, "a run")
    assert [load["rows"] for load in records(quick, "topo.loads")] == [0, 2]
    assert without_ids_of_loads(snapshot(landed)) == without_ids_of_loads(snapshot(quick))


def without_ids_of_loads(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows without the ids of loads, of which each row has that of its day."""
    of_day = {load["load_id"]: load["day"] for load in found["loads"]}
    return {table: [row | {"load_id": of_day[row["load_id"]]} for row in rows] for table, rows in found.items()}


def test_the_ledger_records_how_a_day_was_read_and_landed(file_warehouse: Warehouse) -> None:
    read = reading(
        activity(1), activity(2), rejects=(("{", "cut"),), is_open=True, proved=False, api_total_count=9, requests=4
    )
    load = land_into(file_warehouse, read, run_id=HOSTILE)
    assert records(file_warehouse, "topo.loads") == [
        {
            "day": DAY,
            "load_id": load.load_id,
            "run_id": HOSTILE,
            "asked_after": read.asked_after,
            "asked_before": read.asked_before,
            "is_open": True,
            "proved": False,
            "api_total_count": 9,
            "rows": 2,
            "added": 2,
            "changed": 0,
            "removed": 0,
            "requests": 4,
            "rejects": 1,
            "started_at": read.started_at,
            "finished_at": LANDED,
            "suppressed": 0,
            "count_capped": False,
        }
    ]
    assert records(file_warehouse, "topo.loads") == [asdict(load)]


def test_an_empty_day_lands_a_ledger_row_and_no_rows(file_warehouse: Warehouse) -> None:
    load = land_into(file_warehouse, reading())
    tables = snapshot(file_warehouse)
    assert (load.rows, load.added, load.removed) == (0, 0, 0)
    assert [row["day"] for row in tables.pop("loads")] == [DAY]
    assert tables == {"activities": [], "activity_changes": [], "rejects": []}


def test_landing_the_same_reading_twice_changes_no_row(warehouse: Warehouse) -> None:
    read = reading(activity(1), activity(2, "{}"), activity(3, '{"messageId":null}'), rejects=(("{", "cut"),))
    land_into(warehouse, read)
    before = snapshot(warehouse, "activities", "activity_changes", "rejects")
    again = land_into(warehouse, read, now=LATER)
    assert snapshot(warehouse, "activities", "activity_changes", "rejects") == before
    assert (again.rows, again.added, again.changed, again.removed, again.rejects) == (3, 0, 0, 0, 1)
    assert len(records(warehouse, "topo.loads")) == 2


def test_every_load_has_its_own_id(file_warehouse: Warehouse) -> None:
    loads = [land_into(file_warehouse, reading(activity(1))) for _ in range(3)]
    assert len({load.load_id for load in loads}) == 3


def test_several_days_may_land_in_one_transaction(file_warehouse: Warehouse) -> None:
    with landing_in(file_warehouse) as (_, land):
        for number, day in enumerate((DAY, NEXT_DAY)):
            read = reading(activity(number, at=noon(day)), rejects=((f"{number}", "cut"),), day=day)
            land(read)
    assert [payloads(file_warehouse, day).keys() for day in (DAY, NEXT_DAY)] == [{uuid_of(0)}, {uuid_of(1)}]


def test_landed_days_has_each_days_last_load_even_if_the_clock_was_set_back(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(activity(1)), now=LATER)
    last = [
        land_into(file_warehouse, reading(day=NEXT_DAY), now=LANDED),
        land_into(file_warehouse, reading(activity(1), activity(2)), now=LATER - timedelta(hours=1)),
    ]
    expected = {load.day: load.load_id for load in last}
    assert {row["day"]: row["load_id"] for row in records(file_warehouse, "landed_days")} == expected


def test_a_reading_that_cannot_land_leaves_the_day_unchanged(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(activity(1)))
    before = snapshot(file_warehouse)
    with pytest.raises(duckdb.ConversionException):
        land_into(file_warehouse, reading(activity(2), ("no uuid", noon(), "{}")))
    assert snapshot(file_warehouse) == before


def test_text_is_never_run_as_sql(file_warehouse: Warehouse) -> None:
    malicious = activity(1, {"type": HOSTILE, "person_id": HOSTILE, "channel": HOSTILE, HOSTILE: HOSTILE})
    land_into(file_warehouse, reading(malicious, rejects=((HOSTILE, HOSTILE),)), run_id=HOSTILE)
    tables = snapshot(file_warehouse)
    assert (tables["activities"][0]["type"], tables["loads"][0]["run_id"]) == (HOSTILE, HOSTILE)
    assert (tables["rejects"][0]["raw"], tables["rejects"][0]["reason"]) == (HOSTILE, HOSTILE)
    land_into(file_warehouse, reading(activity(2)), now=LATER)
    assert [row["type"] for row in records(file_warehouse, "topo.activity_changes")] == [HOSTILE]


def test_loads_of_a_day_have_increasing_times_even_if_the_clock_is_set_back(
    file_warehouse: Warehouse,
) -> None:
    moments = (LATER, LATER - timedelta(hours=1), LATER - timedelta(hours=2))
    loads = [land_into(file_warehouse, reading(activity(1)), now=now) for now in moments]
    assert [load.finished_at - LATER for load in loads] == [timedelta(microseconds=number) for number in range(3)]
    other = land_into(file_warehouse, reading(day=NEXT_DAY), now=LANDED)
    assert other.finished_at == LANDED  # only loads of the same day matter
