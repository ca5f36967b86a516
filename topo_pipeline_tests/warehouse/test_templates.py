"""Landing sequence templates: replaced by id, and kept if they are missing later."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

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

CREATED = datetime(2025, 11, 5, 9, 30, 0, 250000, tzinfo=UTC)
ALL_VALUES = {
    "name": "Founders, warm",
    "summary": "Three mails and a call",
    "status": "ACTIVE",
    "step_count": 4,
    "language": "fr",
    "timezone": "Europe/Paris",
    "activated_at": CREATED.replace(month=12),
    "created_at": CREATED,
    "updated_at": CREATED.replace(year=2026),
}


def names(warehouse: Warehouse) -> dict[UUID, str | None]:
    rows = records(warehouse, "topo.sequence_templates")
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row["name"] for row in rows}


@pytest.mark.parametrize("order", [list, reversed], ids=["columns in order", "columns reversed"])
def test_every_column_has_the_received_value(file_warehouse: Warehouse, order: Callable[[Any], Any]) -> None:
    assert land_templates_into(file_warehouse, dict(order(template(1, **ALL_VALUES).items()))) == 1
    assert records(file_warehouse, "topo.sequence_templates") == [
        {"id": UUID(uuid_of(1)), **ALL_VALUES, "seen_at": LANDED}
    ]


def test_templates_are_replaced_by_id_and_missing_ones_are_kept(warehouse: Warehouse) -> None:
    land_templates_into(warehouse, template(1, name="old"), template(2, name="kept"))
    assert land_templates_into(warehouse, template(1, name="new"), template(3, name="added"), now=LATER) == 3
    rows = {row["name"]: (row["id"], row["seen_at"]) for row in records(warehouse, "topo.sequence_templates")}
    assert rows == {
        "new": (UUID(uuid_of(1)), LATER),
        "kept": (UUID(uuid_of(2)), LANDED),
        "added": (UUID(uuid_of(3)), LATER),
    }


def test_two_spellings_of_an_id_are_one_template(warehouse: Warehouse) -> None:
    duplicates = template(1, name="one"), template(1, name="one") | {"id": "{" + uuid_of(1) + "}"}
    assert land_templates_into(warehouse, *duplicates) == 1
    assert names(warehouse) == {UUID(uuid_of(1)): "one"}


def test_a_template_needs_only_an_id(file_warehouse: Warehouse) -> None:
    land_templates_into(file_warehouse, template(1))
    assert records(file_warehouse, "topo.sequence_templates") == [
        {"id": UUID(uuid_of(1)), **dict.fromkeys(ALL_VALUES), "seen_at": LANDED}
    ]


def test_a_missing_value_is_null_next_to_a_template_that_has_it(file_warehouse: Warehouse) -> None:
    land_templates_into(file_warehouse, template(1), template(2, **ALL_VALUES), template(3, name=""))
    rows = {row["id"]: row for row in records(file_warehouse, "topo.sequence_templates")}
    assert rows[UUID(uuid_of(1))] == {"id": UUID(uuid_of(1)), **dict.fromkeys(ALL_VALUES), "seen_at": LANDED}
    assert rows[UUID(uuid_of(2))] == {"id": UUID(uuid_of(2)), **ALL_VALUES, "seen_at": LANDED}


def test_a_removed_name_is_null(file_warehouse: Warehouse) -> None:
    land_templates_into(file_warehouse, template(1, name="old"))
    land_templates_into(file_warehouse, template(1, name=None))
    assert names(file_warehouse) == {UUID(uuid_of(1)): None}


def test_a_template_with_an_invalid_id_does_not_affect_the_others(file_warehouse: Warehouse) -> None:
    land_templates_into(file_warehouse, template(1, name="one"), template(2) | {"id": "tpl_2"})
    assert names(file_warehouse) == {UUID(uuid_of(1)): "one"}


def test_names_are_never_run_as_sql(file_warehouse: Warehouse) -> None:
    land_templates_into(file_warehouse, template(1, **dict.fromkeys(("name", "summary", "status"), HOSTILE)))
    land_templates_into(file_warehouse, template(2, name="🚀"))
    assert names(file_warehouse) == {UUID(uuid_of(1)): HOSTILE, UUID(uuid_of(2)): "🚀"}


def test_a_huge_step_count_is_null(file_warehouse: Warehouse) -> None:
    land_templates_into(file_warehouse, template(1, step_count=99_999_999_999), template(2, step_count=7))
    assert ask(file_warehouse, "SELECT step_count FROM topo.sequence_templates ORDER BY id") == [(None,), (7,)]
