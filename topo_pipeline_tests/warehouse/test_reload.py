"""Reading a day again: what changed is replaced and kept, what did not is not touched."""

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
from topo_pipeline_tests.warehouse.conftest import ON_A_LAKE_TOO

OLD, NEW = '{"type":"message.replied"}', '{"type":"message.replied","metadata":{"reply_category":"MEETING"}}'


def by_id(rows: list[dict[str, Any]]) -> dict[UUID, dict[str, Any]]:
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


def number_of(row: dict[str, Any]) -> int:
    return int(row["id"].hex[-12:], 16)


@ON_A_LAKE_TOO
def test_a_reload_makes_the_day_what_was_read_last(warehouse: Warehouse) -> None:
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


def test_the_replaced_and_the_removed_version_are_kept_whole(warehouse: Warehouse) -> None:
    land_into(warehouse, reading(activity(1, OLD), activity(2, OLD), activity(3, OLD)))
    before = by_id(records(warehouse, "topo.activities"))
    load = land_into(warehouse, reading(activity(1, OLD), activity(2, NEW)), now=LATER)
    note = {"replaced_by": load.load_id, "replaced_at": LATER}
    changed, removed = UUID(uuid_of(2)), UUID(uuid_of(3))
    assert by_id(records(warehouse, "topo.activity_changes")) == {
        changed: before[changed] | note | {"change": "changed"},
        removed: before[removed] | note | {"change": "removed"},
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


def test_another_created_at_is_another_version(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(activity(1, OLD)))
    load = land_into(file_warehouse, reading(activity(1, OLD, at=noon() + timedelta(microseconds=1))), now=LATER)
    assert (load.rows, load.added, load.changed, load.removed) == (1, 0, 1, 0)


def test_a_payload_that_only_looks_the_same_is_another_version(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(activity(1, OLD)))
    load = land_into(file_warehouse, reading(activity(1, OLD.replace(":", ": "))), now=LATER)
    assert (load.added, load.changed) == (0, 1)


@pytest.mark.parametrize("rows", [(), (activity(1, NEW), activity(9, NEW))], ids=["emptied", "changed"])
def test_other_days_are_untouched(file_warehouse: Warehouse, rows: tuple[Any, ...]) -> None:
    land_into(file_warehouse, reading(activity(5, at=noon(NEXT_DAY)), day=NEXT_DAY, rejects=(("{", "cut"),)))
    before = snapshot(file_warehouse, "activities", "rejects")
    land_into(file_warehouse, reading(activity(1, OLD), activity(2, OLD)))
    land_into(file_warehouse, reading(*rows), now=LATER)
    after = {
        table: [r for r in held if r["day"] == NEXT_DAY] for table, held in snapshot(file_warehouse, *before).items()
    }
    assert after == before


def test_a_day_emptied_at_the_source_is_empty_and_kept_in_the_changes(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(activity(1), activity(2)))
    load = land_into(file_warehouse, reading(), now=LATER)
    assert (load.rows, load.removed, records(file_warehouse, "topo.activities")) == (0, 2, [])
    assert sorted(number_of(row) for row in records(file_warehouse, "topo.activity_changes")) == [1, 2]


@dataclass
class Model:
    """What the warehouse should hold, in plain dictionaries: (day, id) → (payload, when it was landed)."""

    rows: dict[tuple[Any, str], tuple[str, Any]] = field(default_factory=dict)
    changes: list[tuple[Any, ...]] = field(default_factory=list)
    rejects: set[tuple[Any, str]] = field(default_factory=set)

    def land(self, day: Any, received: dict[str, str], raws: list[str], now: Any) -> tuple[int, ...]:
        fine = {id_: text for id_, text in received.items() if text != LONE_SURROGATE}
        had = {id_: version for (d, id_), version in self.rows.items() if d == day}
        gone = [id_ for id_ in had if id_ not in received]
        changed = [id_ for id_ in had if id_ in fine and fine[id_] != had[id_][0]]
        new = [id_ for id_ in fine if id_ not in had]
        for change, ids in (("removed", gone), ("changed", changed)):
            self.changes += [(day, id_, *self.rows.pop((day, id_)), change, now) for id_ in ids]
        self.rows |= {(day, id_): (fine[id_], now) for id_ in new + changed}
        broken = [id_ for id_ in received if id_ not in fine]
        self.rejects |= {(day, raw) for raw in raws} | {(day, id_) for id_ in broken}
        kept = [id_ for id_ in broken if id_ in had]
        return len(fine) + len(kept), len(new), len(changed), len(gone), len(raws) + len(broken)


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
    """Rolls an example back."""


def agrees_with_a_count_in_python(warehouse: Warehouse, loads: list[Any]) -> None:
    model = Model()
    with pytest.raises(Undo), landing_in(warehouse) as (connection, land):
        for hours, (day, texts, raws) in enumerate(loads):
            now = LANDED + timedelta(hours=hours)
            # Ids belong to a day, as activities do.
            ids = {number + (1000 if day == NEXT_DAY else 0): text for number, text in texts.items()}
            rows = [activity(number, text, at=noon(day)) for number, text in ids.items()]
            read = reading(*rows, day=day, rejects=tuple((raw, "odd") for raw in raws))
            load = land(read, now)
            counted = model.land(day, {uuid_of(n): text for n, text in ids.items()}, raws, now)
            assert (load.rows, load.added, load.changed, load.removed, load.rejects) == counted
        holds_what(connection, model)
        raise Undo


@pytest.mark.parametrize("examples", [8, pytest.param(50, marks=pytest.mark.full)])
def test_in_any_order_of_loads_rows_and_ledger_agree_with_a_count(file_warehouse: Warehouse, examples: int) -> None:
    check = given(loads=LOADS)(agrees_with_a_count_in_python)
    settings(max_examples=examples)(check)(file_warehouse)


def holds_what(connection: DuckDBPyConnection, model: Model) -> None:
    rows = records_of(connection, "topo.activities")
    assert Counter((r["day"], str(r["id"]), r["payload"], r["landed_at"]) for r in rows) == Counter(
        (*key, *version) for key, version in model.rows.items()
    )
    names = ("day", "id", "payload", "landed_at", "change", "replaced_at")
    changes = [tuple(r[name] for name in names) for r in records_of(connection, "topo.activity_changes")]
    assert Counter(changes) == Counter((day, UUID(id_), *rest) for day, id_, *rest in model.changes)
    # A row whose payload DuckDB can't read is kept as text that starts with its id.
    raws = [(r["day"], r["raw"]) for r in records_of(connection, "topo.rejects")]
    rejects = Counter((day, raw[7:43] if raw.startswith('{"id"') else raw) for day, raw in raws)
    assert rejects == Counter(model.rejects)
