"""Migrations: each is applied once, in order, and newer warehouses are refused."""

import re
from pathlib import Path

import duckdb
import pytest

from topo_pipeline import warehouse as package
from topo_pipeline.warehouse import migrate
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline_tests.warehouse.builders import activity, ask, land_into, path_of, reading, snapshot

FILES = sorted(path.name for path in (Path(package.__file__).parent / "migrations").iterdir())
LEDGER = "day DATE, finished_at TIMESTAMPTZ, load_id UUID, proved BOOLEAN, is_open BOOLEAN"
APPLIED = "SELECT version, name FROM topo.migrations ORDER BY version"


def test_migrations_are_numbered_from_one_without_gaps_or_duplicates() -> None:
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", name) for name in FILES)
    assert [int(name[:4]) for name in FILES] == list(range(1, len(FILES) + 1))


def test_each_migration_is_applied_once(file_warehouse: Warehouse) -> None:
    for _ in range(3):
        file_warehouse.prepare()
    assert ask(file_warehouse, APPLIED) == [(int(name[:4]), name) for name in FILES]


def test_an_older_warehouse_is_migrated_in_order_and_keeps_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    steps = {
        1: (
            "0001_one.sql",
            f"CREATE TABLE topo.loads ({LEDGER}); ",
        ),
        2: ("0002_two.sql", "CREATE TABLE topo.trace (step INTEGER); INSERT INTO topo.trace VALUES (2)"),
        3: ("0003_three.sql", "ALTER TABLE topo.trace ADD COLUMN note VARCHAR; INSERT INTO topo.trace VALUES (3, 'x')"),
        4: ("0004_four.sql", "UPDATE topo.trace SET note = 'seen' WHERE step = 3"),
    }
    for newest in (2, 2, 4, 4):
        monkeypatch.setattr(migrate, "migrations", lambda newest=newest: {n: steps[n] for n in range(1, newest + 1)})
        warehouse.prepare()
    assert ask(warehouse, "SELECT step, note FROM topo.trace ORDER BY step") == [(2, None), (3, "seen")]
    assert ask(warehouse, APPLIED) == [(number, name) for number, (name, _) in steps.items()]


def test_a_failed_migration_leaves_the_schema_unchanged(
    file_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrate.migrations()
    broken = {len(known) + 1: ("9999_broken.sql", "CREATE TABLE topo.half (a INTEGER); SELECT * FROM nowhere")}
    with monkeypatch.context() as patched:
        patched.setattr(migrate, "migrations", lambda: known | broken)
        with pytest.raises(WarehouseError, match="nowhere"):
            file_warehouse.prepare()
    assert len(ask(file_warehouse, APPLIED)) == len(known)
    assert ask(file_warehouse, "SELECT 1 FROM duckdb_tables() WHERE table_name = 'half'") == []


def set_version(warehouse: Warehouse, *, newer: bool) -> None:
    with warehouse.transaction() as connection:
        if newer:
            connection.execute("INSERT INTO topo.migrations VALUES (?, 'future.sql')", [len(FILES) + 1])
        else:
            connection.execute("DELETE FROM topo.migrations WHERE version = ?", [len(FILES)])


@pytest.mark.parametrize("open_as", ["transaction", "reader"])
def test_a_newer_warehouse_is_refused_and_unchanged(file_warehouse: Warehouse, open_as: str) -> None:
    land_into(file_warehouse, reading(activity(1)))
    before = snapshot(file_warehouse)
    set_version(file_warehouse, newer=True)
    message = f"version {len(FILES) + 1}, but this version supports {len(FILES)}: upgrade"
    with pytest.raises(WarehouseError, match=message), getattr(file_warehouse, open_as)():
        pass
    with duckdb.connect(str(path_of(file_warehouse))) as connection:
        connection.execute("DELETE FROM topo.topo.migrations WHERE name = 'future.sql'")
    assert snapshot(file_warehouse) == before


def test_reading_an_older_warehouse_says_what_to_do(file_warehouse: Warehouse) -> None:
    set_version(file_warehouse, newer=False)
    with pytest.raises(WarehouseError, match="older topo-pipeline: load a day"), file_warehouse.reader():
        pass


def test_reading_an_empty_database_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "topo.duckdb"
    duckdb.connect(str(path)).close()
    with pytest.raises(WarehouseError, match="load a day"), Warehouse(str(path)).reader():
        pass


COLUMNS = """
SELECT table_name, column_name, comment FROM duckdb_columns()
WHERE database_name = current_database() AND schema_name IN ('topo', 'engagement')
"""
TABLES = """
SELECT table_name, comment FROM duckdb_tables()
WHERE database_name = current_database() AND schema_name IN ('topo', 'engagement')
"""


def test_every_table_and_column_has_a_comment(warehouse: Warehouse) -> None:
    warehouse.prepare()
    columns = {(table, column): comment for table, column, comment in ask(warehouse, COLUMNS)}
    assert {"activities", "loads", "rejects", "migrations", "builds"} <= {table for table, _ in columns}
    assert [table for table, comment in ask(warehouse, TABLES) if not comment] == []
    assert [name for name, comment in columns.items() if not comment] == []
