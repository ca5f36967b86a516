"""Unreadable rows are quarantined in `topo.rejects`, with their text and a reason."""

import json

import pytest

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import ReadDay
from topo_pipeline_tests.warehouse.builders import (
    DAY,
    LANDED,
    LATER,
    LONE_SURROGATE,
    NEXT_DAY,
    activity,
    land_into,
    noon,
    payloads,
    reading,
    records,
    snapshot,
    uuid_of,
)

ODD = '{"id":7,\0 "emoji":"👩‍🚀'


def test_an_unreadable_row_is_kept_with_its_reason(file_warehouse: Warehouse) -> None:
    load = land_into(file_warehouse, reading(activity(1), rejects=((ODD, "no uuid as `id`"),)))
    assert records(file_warehouse, "topo.rejects") == [
        {"day": DAY, "raw": ODD, "reason": "no uuid as `id`", "landed_at": LANDED, "load_id": load.load_id}
    ]
    assert (load.rows, load.rejects) == (1, 1)


def test_a_payload_that_duckdb_cannot_parse_is_a_reject_with_its_text(file_warehouse: Warehouse) -> None:
    load = land_into(file_warehouse, reading(activity(1), activity(2, LONE_SURROGATE, at=noon())))
    (reject,) = records(file_warehouse, "topo.rejects")
    kept = json.loads(reject["raw"])
    assert f'"payload":{LONE_SURROGATE}' in reject["raw"]
    assert (kept["id"], kept["created_at"]) == (uuid_of(2), "2026-03-01 12:00:00+00")
    assert "payload" in reject["reason"]
    assert payloads(file_warehouse).keys() == {uuid_of(1)}
    assert (load.rows, load.added, load.rejects) == (1, 1, 1)


@pytest.mark.parametrize(
    "unreadable",
    [reading(activity(1), activity(2, LONE_SURROGATE)), reading(activity(1), rejected=(2,))],
    ids=["by DuckDB", "by the decoder"],
)
def test_a_row_that_becomes_unreadable_keeps_its_last_readable_version(
    warehouse: Warehouse, unreadable: ReadDay
) -> None:
    landed = land_into(warehouse, reading(activity(1), activity(2)))
    before = snapshot(warehouse, "activities")
    load = land_into(warehouse, unreadable, now=LATER)
    assert snapshot(warehouse, "activities") == before
    assert records(warehouse, "topo.activity_changes") == []
    assert (load.rows, load.removed, load.rejects) == (landed.rows, 0, 1)


def test_a_kept_unreadable_row_is_replaced_when_readable_and_removed_when_gone(
    file_warehouse: Warehouse,
) -> None:
    land_into(file_warehouse, reading(activity(1), activity(2)))
    land_into(file_warehouse, reading(rejected=(1, 2)), now=LATER)
    load = land_into(file_warehouse, reading(activity(1, "{}")), now=LATER)
    assert payloads(file_warehouse) == {uuid_of(1): "{}"}
    assert (load.rows, load.changed, load.removed, load.rejects) == (1, 1, 1, 0)


def test_a_readable_version_lands_if_an_unreadable_one_is_received_too(
    file_warehouse: Warehouse,
) -> None:
    land_into(file_warehouse, reading(activity(1)))
    load = land_into(file_warehouse, reading(activity(1, "{}"), rejected=(1,)), now=LATER)
    assert payloads(file_warehouse) == {uuid_of(1): "{}"}
    assert (load.rows, load.changed, load.rejects) == (1, 1, 1)


def test_a_row_that_becomes_readable_lands_and_its_reject_is_kept(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(activity(1, LONE_SURROGATE)))
    load = land_into(file_warehouse, reading(activity(1)), now=LATER)
    assert (load.rows, load.added, load.rejects) == (1, 1, 0)
    assert len(records(file_warehouse, "topo.rejects")) == 1


def test_a_reject_is_kept_once_per_day_with_its_first_load(warehouse: Warehouse) -> None:
    read = reading(activity(1, LONE_SURROGATE), rejects=((ODD, "odd"), (ODD, "odd"), ("{", "cut")))
    first = land_into(warehouse, read)
    again = land_into(warehouse, read, now=LATER)
    kept = records(warehouse, "topo.rejects")
    assert len(kept) == len({row["raw"] for row in kept}) == 3
    assert {(row["landed_at"], row["load_id"]) for row in kept} == {(LANDED, first.load_id)}
    assert first.rejects == again.rejects == 4


def test_the_same_reject_is_kept_for_each_day(file_warehouse: Warehouse) -> None:
    for day in (DAY, NEXT_DAY):
        land_into(file_warehouse, reading(day=day, rejects=(("{", "cut"),)))
    assert [(row["day"], row["raw"]) for row in records(file_warehouse, "topo.rejects")] == [
        (DAY, "{"),
        (NEXT_DAY, "{"),
    ]


def test_a_reading_of_only_rejects_lands(file_warehouse: Warehouse) -> None:
    load = land_into(file_warehouse, reading(rejects=(("{", "cut"),)))
    assert (load.rows, load.rejects, len(records(file_warehouse, "topo.rejects"))) == (0, 1, 1)
