"""Warehouses of past versions are migrated with all their rows, and can be used."""

import gzip
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest

from topo_pipeline.engagement.tables import in_order
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.migrate import migrations
from topo_pipeline_tests.engagement.helpers import KEPT, KEPT_BESIDE, Workspace, enrolled, march, sent
from topo_pipeline_tests.maintenance.test_forget import forget_from
from topo_pipeline_tests.warehouse.builders import LATER, ask, land_into, path_of, reading, records
from topo_pipeline_tests.warehouse.old.write_old import FOLDER, MONDAY, PERSON, RUN, SUNDAY

FILES = sorted(FOLDER.glob("*.duckdb.gz"))
TUESDAY = march(3).date()
# Without the metric tables, which are rebuilt by their own SQL.
OLD_COLUMNS = """
SELECT schema_name || '.' || table_name, list(column_name ORDER BY column_index) FROM duckdb_columns()
WHERE database_name = 'old' AND (schema_name = 'topo' OR table_name = 'builds') GROUP BY ALL ORDER BY ALL
"""
SCHEMA = """
SELECT schema_name, table_name, column_index, column_name, data_type, is_nullable, column_default, comment
FROM duckdb_columns()
WHERE database_name = current_database() AND (schema_name = 'topo' OR table_name = 'builds')
ORDER BY ALL
"""
TABLES = """
SELECT schema_name, table_name, comment FROM duckdb_tables()
WHERE database_name = current_database() AND (schema_name = 'topo' OR table_name = 'builds')
ORDER BY ALL
"""


def version_of(file: Path) -> str:
    return file.name.partition(".")[0]


# Tables as the version before the current definitions built them, in part.
EARLIER = {
    "sequence_activity": "sequence_template_id UUID, channel VARCHAR, day DATE, replies_not_human BIGINT",
    "sequence_runs": "sequence_template_id UUID, sequence_id UUID, left_censored BOOLEAN",
    "sequence_cohorts": "sequence_template_id UUID, cohort_day DATE, axis VARCHAR, touch_reply_rate DOUBLE",
    "sequence_cohorts_known": "closed_until TIMESTAMP WITH TIME ZONE, missing_days DATE[]",
    "sequence_summary": "sequence_template_id UUID, period VARCHAR, days_missing BIGINT",
    "sequence_trends": "sequence_template_id UUID, week_start DATE, is_mature BOOLEAN",
}

# After the migration, the schema no longer depends on the version. The oldest is enough for these tests.
OLDEST, *NEWER = FILES
OLDEST_WAREHOUSE = pytest.mark.parametrize(
    "old", [OLDEST, *(pytest.param(file, marks=pytest.mark.full) for file in NEWER)], indirect=True, ids=version_of
)


@pytest.fixture(params=FILES, ids=version_of)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    path = tmp_path / "topo.duckdb"
    path.write_bytes(gzip.decompress(request.param.read_bytes()))
    return Warehouse(str(path))


def rows_without_migrating(warehouse: Warehouse) -> dict[tuple[str, tuple[str, ...]], list[tuple[Any, ...]]]:
    """Return the rows of every table in the file, by table and columns, read without our code."""
    with duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = 'UTC'; ATTACH '{warehouse.target}' AS old (READ_ONLY); USE old")
        columns = connection.execute(OLD_COLUMNS).fetchall()
        return {(table, tuple(names)): connection.execute(select(table, names)).fetchall() for table, names in columns}


def select(table: str, columns: Any) -> str:
    return f"SELECT {', '.join(columns)} FROM {table} ORDER BY ALL"  # noqa: S608


def test_there_is_a_warehouse_of_each_past_version() -> None:
    newest = max(migrations())
    versions = {int(version_of(file)) for file in FILES}
    assert set(range(1, newest)) <= versions <= set(range(1, newest + 1))


def test_migrating_loses_and_changes_no_row(old: Warehouse) -> None:
    before = rows_without_migrating(old)
    applied = before.pop(("topo.migrations", ("version", "name")))
    assert all(before.values()), "a table of the old file is empty, so the test shows nothing about it"
    old.prepare()
    assert {key: ask(old, select(*key)) for key in before} == before
    now = ask(old, "SELECT version, name FROM topo.migrations ORDER BY version")
    assert now[: len(applied)] == applied
    assert now == [(version, name) for version, (name, _) in migrations().items()]


def test_the_migrated_schema_equals_that_of_a_new_warehouse(old: Warehouse, file_warehouse: Warehouse) -> None:
    old.prepare()
    assert ask(old, SCHEMA) == ask(file_warehouse, SCHEMA)
    assert ask(old, TABLES) == ask(file_warehouse, TABLES)


@OLDEST_WAREHOUSE
def test_an_unchanged_reload_changes_nothing_and_a_change_is_recorded(old: Warehouse) -> None:
    old.prepare()
    landed = [row for row in records(old, "topo.activities") if row["day"] == SUNDAY]
    unchanged = [(str(row["id"]), row["created_at"], row["payload"]) for row in landed]
    same = land_into(old, reading(*unchanged, day=SUNDAY), now=LATER)
    assert (same.rows, same.added, same.changed, same.removed) == (len(unchanged), 0, 0, 0)
    fewer = land_into(old, reading(*unchanged[1:], day=SUNDAY), now=LATER)
    assert (fewer.rows, fewer.added, fewer.changed, fewer.removed) == (len(unchanged) - 1, 0, 0, 1)


@OLDEST_WAREHOUSE
def test_the_tables_can_be_built_from_old_and_new_days(old: Warehouse, tmp_path: Path) -> None:
    workspace = Workspace(old.target, stale={SUNDAY, MONDAY})
    workspace.land(TUESDAY, [enrolled(march(3), "new"), sent(march(3), "new")])
    workspace.build()
    assert RUN in {row["sequence_id"] for row in workspace.rows("sequence_runs")}
    assert workspace.run("new")["messages_sent"] == 1
    assert {row["day"] for row in workspace.rows("sequence_activity")} == {SUNDAY, MONDAY, TUESDAY}
    rebuilt = Workspace(str(shutil.copy(path_of(old), tmp_path / "rebuilt.duckdb")), stale={SUNDAY, MONDAY, TUESDAY})
    rebuilt.build(full_refresh=True)
    for name in (*KEPT, *KEPT_BESIDE):  # the others are always rebuilt from these
        assert workspace.rows(name) == rebuilt.rows(name), name


@OLDEST_WAREHOUSE
def test_tables_of_an_earlier_definition_are_replaced_once(old: Warehouse) -> None:
    old.prepare()
    with old.transaction() as connection:
        for table, columns in EARLIER.items():
            connection.execute(f"CREATE OR REPLACE TABLE engagement.{table} ({columns})")
            connection.execute(
                "INSERT INTO engagement.builds SELECT ?, load_id, 'earlier', finished_at FROM topo.loads", [table]
            )
    workspace = Workspace(old.target, stale={SUNDAY, MONDAY})
    names = [table.name for table in in_order()]
    built = workspace.build(*names)
    outdated = {name for name, table in built.items() if table.was_outdated}
    assert outdated == {"sequence_activity", "sequence_runs", "sequence_cohorts"}
    for table in in_order():
        assert [column.name for column in built[table.name].columns] == table.columns
    assert workspace.rows("sequence_cohorts_known")[0].keys() == {"as_of", "unknown_days"}
    again = workspace.build(*KEPT)
    assert [name for name, table in again.items() if table.was_outdated] == []


@OLDEST_WAREHOUSE
def test_a_person_can_be_erased(old: Warehouse) -> None:
    erased = forget_from(old, UUID(PERSON), now=LATER)
    assert erased.activities > 0
    assert ask(old, "SELECT count(*) FROM topo.activities WHERE person_id = ?", UUID(PERSON)) == [(0,)]
