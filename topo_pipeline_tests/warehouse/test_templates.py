"""The sequences by name: replaced by id, kept as last known."""

from datetime import UTC, datetime
from uuid import UUID

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.warehouse.builders import (
    HOSTILE,
    LANDED,
    LATER,
    ask,
    land_templates_into,
    records,
    template,
    uuid_of,
)

MADE = datetime(2025, 11, 5, 9, 30, 0, 250000, tzinfo=UTC)
WHOLE = {
    "name": "Founders, warm",
    "summary": "Three mails and a call",
    "status": "ACTIVE",
    "step_count": 4,
    "language": "fr",
    "timezone": "Europe/Paris",
    "activated_at": MADE.replace(month=12),
    "created_at": MADE,
    "updated_at": MADE.replace(year=2026),
}


def names(warehouse: Warehouse) -> dict[UUID, str | None]:
    rows = records(warehouse, "topo.sequence_templates")
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row["name"] for row in rows}


def test_every_column_of_a_template_is_what_was_read(file_warehouse: Warehouse) -> None:
    assert land_templates_into(file_warehouse, template(1, **WHOLE)) == 1
    assert records(file_warehouse, "topo.sequence_templates") == [{"id": UUID(uuid_of(1)), **WHOLE, "seen_at": LANDED}]


def test_templates_are_replaced_by_id_and_the_vanished_kept_as_last_known(warehouse: Warehouse) -> None:
    land_templates_into(warehouse, template(1, name="old"), template(2, name="kept"))
    assert land_templates_into(warehouse, template(1, name="new"), template(3, name="added"), now=LATER) == 3
    rows = {row["name"]: (row["id"], row["seen_at"]) for row in records(warehouse, "topo.sequence_templates")}
    assert rows == {
        "new": (UUID(uuid_of(1)), LATER),
        "kept": (UUID(uuid_of(2)), LANDED),
        "added": (UUID(uuid_of(3)), LATER),
    }


def test_a_template_whose_id_comes_in_two_spellings_is_one(warehouse: Warehouse) -> None:
    twins = template(1, name="one"), template(1, name="one") | {"id": "{" + uuid_of(1) + "}"}
    assert land_templates_into(warehouse, *twins) == 1
    assert names(warehouse) == {UUID(uuid_of(1)): "one"}


def test_a_template_may_have_nothing_but_an_id(file_warehouse: Warehouse) -> None:
    land_templates_into(file_warehouse, template(1))
    assert records(file_warehouse, "topo.sequence_templates") == [
        {"id": UUID(uuid_of(1)), **dict.fromkeys(WHOLE), "seen_at": LANDED}
    ]


def test_what_one_template_lacks_is_null_beside_one_that_has_it(file_warehouse: Warehouse) -> None:
    land_templates_into(file_warehouse, template(1), template(2, **WHOLE), template(3, name=""))
    rows = {row["id"]: row for row in records(file_warehouse, "topo.sequence_templates")}
    assert rows[UUID(uuid_of(1))] == {"id": UUID(uuid_of(1)), **dict.fromkeys(WHOLE), "seen_at": LANDED}
    assert rows[UUID(uuid_of(2))] == {"id": UUID(uuid_of(2)), **WHOLE, "seen_at": LANDED}


def test_a_name_that_was_taken_away_is_null(file_warehouse: Warehouse) -> None:
    land_templates_into(file_warehouse, template(1, name="old"))
    land_templates_into(file_warehouse, template(1, name=None))
    assert names(file_warehouse) == {UUID(uuid_of(1)): None}


def test_columns_may_come_in_any_order(file_warehouse: Warehouse) -> None:
    land_templates_into(file_warehouse, dict(reversed(template(1, **WHOLE).items())))
    assert records(file_warehouse, "topo.sequence_templates") == [{"id": UUID(uuid_of(1)), **WHOLE, "seen_at": LANDED}]


def test_a_template_whose_id_is_no_uuid_hinders_no_other(file_warehouse: Warehouse) -> None:
    land_templates_into(file_warehouse, template(1, name="one"), template(2) | {"id": "tpl_2"})
    assert names(file_warehouse) == {UUID(uuid_of(1)): "one"}


def test_names_are_never_run_as_sql(file_warehouse: Warehouse) -> None:
    land_templates_into(file_warehouse, template(1, **dict.fromkeys(("name", "summary", "status"), HOSTILE)))
    land_templates_into(file_warehouse, template(2, name="🚀"))
    assert names(file_warehouse) == {UUID(uuid_of(1)): HOSTILE, UUID(uuid_of(2)): "🚀"}


def test_a_step_count_beyond_any_sequence_is_not_known(file_warehouse: Warehouse) -> None:
    land_templates_into(file_warehouse, template(1, step_count=99_999_999_999), template(2, step_count=7))
    assert ask(file_warehouse, "SELECT step_count FROM topo.sequence_templates ORDER BY id") == [(None,), (7,)]
