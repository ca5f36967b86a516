"""Reading a day again: changed rows are replaced and kept as changes, other rows are not touched."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from duckdb import DuckDBPyConnection
from hypothesis import given, settings
from hypothesis import strategies as st

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.warehouse.builders import (
    DAY,
    LANDED,
    LATER,
    LONE_SURROGATE,
    NEXT_DAY,
    activity,
    land_into,
    landing_in,
    noon,
    reading,
    records,
    records_of,
    snapshot,
    uuid_of,
)
from topo_pipeline_tests.warehouse.conftest import IN_EVERY_PLACE

OLD, NEW = '{"type":"message.replied"}', '{"type":"message.replied","metadata":{"reply_category":"MEETING"}}'


def by_id(rows: list[dict[str, Any]]) -> dict[UUID, dict[str, Any]]:
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


def number_of(row: dict[str, Any]) -> int:
    return int(row["id"].hex[-12:], 16)


@IN_EVERY_PLACE
def test_a_reload_replaces_the_day_with_the_last_reading(warehouse: Warehouse) -> None:
    land_into(warehouse, reading(activity(1, OLD), activity(2, OLD), activity(3, OLD)))
    load = land_into(warehouse, reading(activity(1, OLD), activity(2, NEW), activity(4, OLD)), now=LATER)
    rows = {number_of(row): row["payload"] for row in records(warehouse, "topo.activities")}
    assert rows == {1: OLD, 2: NEW, 4: OLD}
    assert (load.rows, load.added, load.changed, load.removed) == (3, 1, 1, 1)


def test_unchanged_rows_keep_the_load_that_landed_them(file_warehouse: Warehouse) -> None:
    first = land_into(file_warehouse, reading(activity(1, OLD), activity(2, OLD)))
    second = land_into(file_warehouse, reading(activity(1, OLD), activity(2, NEW)), now=LATER)
    landed = {number_of(r): (r["landed_at"], r["load_id"]) for r in records(file_warehouse, "topo.activities")}
    assert landed == {1: (LANDED, first.load_id), 2: (LATER, second.load_id)}


def test_replaced_and_removed_versions_are_kept(warehouse: Warehouse) -> None:
    land_into(warehouse, reading(activity(1, OLD), activity(2, OLD), activity(3, OLD)))
    before = by_id(records(warehouse, "topo.activities"))
    load = land_into(warehouse, reading(activity(1, OLD), activity(2, NEW)), now=LATER)
    replacement = {"replaced_by": load.load_id, "replaced_at": LATER}
    changed, removed = UUID(uuid_of(2)), UUID(uuid_of(3))
    assert by_id(records(warehouse, "topo.activity_changes")) == {
        changed: before[changed] | replacement | {"change": "changed"},
        removed: before[removed] | replacement | {"change": "removed"},
    }


def test_every_version_is_kept_through_several_reloads(file_warehouse: Warehouse) -> None:
    for hours, payload in enumerate((OLD, NEW, OLD)):
        land_into(file_warehouse, reading(activity(1, payload)), now=LANDED + timedelta(hours=hours))
    land_into(file_warehouse, reading(), now=LATER)
    land_into(file_warehouse, reading(activity(1, OLD)), now=LATER + timedelta(hours=1))
    kept = sorted(
        (r["replaced_at"], r["change"], r["payload"]) for r in records(file_warehouse, "topo.activity_changes")
    )
    assert [(change, payload) for _, change, payload in kept] == [("changed", OLD), ("changed", NEW), ("removed", OLD)]
    assert [row["landed_at"] for row in records(file_warehouse, "topo.activities")] == [LATER + timedelta(hours=1)]


def test_a_row_with_another_created_at_is_a_new_version(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(activity(1, OLD)))
    load = land_into(file_warehouse, reading(activity(1, OLD, at=noon() + timedelta(microseconds=1))), now=LATER)
    assert (load.rows, load.added, load.changed, load.removed) == (1, 0, 1, 0)


def test_a_payload_with_other_white_space_is_a_new_version(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(activity(1, OLD)))
    load = land_into(file_warehouse, reading(activity(1, OLD.replace(":", ": "))), now=LATER)
    assert (load.added, load.changed) == (0, 1)


@pytest.mark.parametrize("rows", [(), (activity(1, NEW), activity(9, NEW))], ids=["emptied", "changed"])
def test_a_reload_does_not_change_other_days(file_warehouse: Warehouse, rows: tuple[Any, ...]) -> None:
    land_into(file_warehouse, reading(activity(5, at=noon(NEXT_DAY)), day=NEXT_DAY, rejects=(("{", "cut"),)))
    before = snapshot(file_warehouse, "activities", "rejects")
    land_into(file_warehouse, reading(activity(1, OLD), activity(2, OLD)))
    land_into(file_warehouse, reading(*rows), now=LATER)
    after = {
        table: [r for r in rows_of_table if r["day"] == NEXT_DAY]
        for table, rows_of_table in snapshot(file_warehouse, *before).items()
    }
    assert after == before


def test_a_day_that_topo_has_emptied_is_empty_and_kept_in_the_changes(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(activity(1), activity(2)))
    load = land_into(file_warehouse, reading(), now=LATER)
    assert (load.rows, load.removed, records(file_warehouse, "topo.activities")) == (0, 2, [])
    assert sorted(number_of(row) for row in records(file_warehouse, "topo.activity_changes")) == [1, 2]


@dataclass
class ExpectedTables:
    """The expected tables, as plain dictionaries: (day, id) → (payload, time of landing)."""

    rows: dict[tuple[Any, str], tuple[str, Any]] = field(default_factory=dict)
    changes: list[tuple[Any, ...]] = field(default_factory=list)
    rejects: set[tuple[Any, str]] = field(default_factory=set)

    def land(self, day: Any, received: dict[str, str], reject_texts: list[str], now: Any) -> tuple[int, ...]:
        readable = {id_: text for id_, text in received.items() if text != LONE_SURROGATE}
        before = {id_: version for (d, id_), version in self.rows.items() if d == day}
        removed = [id_ for id_ in before if id_ not in received]
        changed = [id_ for id_ in before if id_ in readable and readable[id_] != before[id_][0]]
        new = [id_ for id_ in readable if id_ not in before]
        for change, ids in (("removed", removed), ("changed", changed)):
            self.changes += [(day, id_, *self.rows.pop((day, id_)), change, now) for id_ in ids]
        self.rows |= {(day, id_): (readable[id_], now) for id_ in new + changed}
        broken = [id_ for id_ in received if id_ not in readable]
        self.rejects |= {(day, raw) for raw in reject_texts} | {(day, id_) for id_ in broken}
        kept = [id_ for id_ in broken if id_ in before]
        return len(readable) + len(kept), len(new), len(changed), len(removed), len(reject_texts) + len(broken)


VERSIONS = st.sampled_from([OLD, NEW, OLD + " ", LONE_SURROGATE])
LOADS = st.lists(
    st.tuples(
        st.sampled_from([DAY, NEXT_DAY]),
        st.dictionaries(st.integers(1, 6), VERSIONS, max_size=6),
        st.lists(st.sampled_from(["{", "null", "'"]), max_size=2, unique=True),
    ),
    min_size=2,
    max_size=6,
)


class Undo(Exception):
    """Raised to roll an example back."""


def assert_loads_equal_the_expected_tables(warehouse: Warehouse, loads: list[Any]) -> None:
    expected_tables = ExpectedTables()
    with pytest.raises(Undo), landing_in(warehouse) as (connection, land):
        for hours, (day, texts, reject_texts) in enumerate(loads):
            now = LANDED + timedelta(hours=hours)
            # An id belongs to one day, as an activity does.
            ids = {number + (1000 if day == NEXT_DAY else 0): text for number, text in texts.items()}
            rows = [activity(number, text, at=noon(day)) for number, text in ids.items()]
            read = reading(*rows, day=day, rejects=tuple((raw, "odd") for raw in reject_texts))
            load = land(read, now)
            expected = expected_tables.land(day, {uuid_of(n): text for n, text in ids.items()}, reject_texts, now)
            assert (load.rows, load.added, load.changed, load.removed, load.rejects) == expected
        assert_tables_equal(connection, expected_tables)
        raise Undo


@pytest.mark.parametrize("examples", [5, pytest.param(50, marks=pytest.mark.full)])
def test_after_any_loads_rows_and_ledger_equal_the_expected_tables(file_warehouse: Warehouse, examples: int) -> None:
    check = given(loads=LOADS)(assert_loads_equal_the_expected_tables)
    settings(max_examples=examples)(check)(file_warehouse)


def assert_tables_equal(connection: DuckDBPyConnection, expected: ExpectedTables) -> None:
    rows = records_of(connection, "topo.activities")
    assert Counter((r["day"], str(r["id"]), r["payload"], r["landed_at"]) for r in rows) == Counter(
        (*key, *version) for key, version in expected.rows.items()
    )
    names = ("day", "id", "payload", "landed_at", "change", "replaced_at")
    changes = [tuple(r[name] for name in names) for r in records_of(connection, "topo.activity_changes")]
    assert Counter(changes) == Counter((day, UUID(id_), *rest) for day, id_, *rest in expected.changes)
    # A row whose payload DuckDB can't parse is kept as text that starts with its id.
    reject_texts = [(r["day"], r["raw"]) for r in records_of(connection, "topo.rejects")]
    rejects = Counter((day, raw[7:43] if raw.startswith('{"id"') else raw) for day, raw in reject_texts)
    assert rejects == Counter(expected.rejects)
