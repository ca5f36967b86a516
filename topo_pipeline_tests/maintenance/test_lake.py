"""Maintenance of lakes, and what compaction leaves of a deleted person in Postgres and in the files."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from topo_pipeline import definitions
from topo_pipeline.maintenance.lake import maintain_lake
from topo_pipeline.settings import Settings
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.maintenance.test_compaction import ERASED, compact, erased, everything, files_with, forms
from topo_pipeline_tests.warehouse.builders import DAY, activity, ask, land_into, noon, path_of, reading, snapshot
from topo_pipeline_tests.warehouse.conftest import IN_EVERY_PLACE

if TYPE_CHECKING:
    from topo_pipeline_tests.services.postgres import Database

FILES = "FROM ducklake_list_files('warehouse', 'activities', schema => 'topo')"


def tables_with_the_person(database: "Database") -> set[str]:
    """Return the tables of the catalog in which Postgres finds the erased id, as text or as bytes."""
    found = set()
    with database.connect() as session:
        names = session.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'topo'"
        ).fetchall()
        for (name,) in names:
            rows = session.execute(f'SELECT * FROM topo."{name}"'.encode()).fetchall()  # noqa: S608 - from the catalog
            texts = [value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row]
            if any(form in text for form in forms(ERASED) for text in texts):
                found.add(name)
    return found


def test_compaction_leaves_nothing_of_a_deleted_person_in_postgres_or_in_files(
    shared: Warehouse, postgres_database: "Database", tmp_path: Path
) -> None:
    """And the statistics of the remaining rows: DuckLake skips files by the minimum and maximum of a column."""
    erased(shared)
    after, later = (DAY + timedelta(days=number) for number in (20, 21))
    ends = (activity(n, {"type": kind}, noon(after)) for n, kind in enumerate(("zebra", "aardvark"), 101))
    land_into(shared, reading(*ends, day=after))
    before = everything(shared)
    assert "ducklake_file_column_stats" in tables_with_the_person(postgres_database)
    assert files_with(tmp_path / "data") != set()
    compact(shared)
    assert tables_with_the_person(postgres_database) == set()
    assert files_with(tmp_path / "data") == set()
    assert everything(shared) == before
    land_into(shared, reading(activity(103, {"type": "middle"}, noon(later)), day=later))
    assert ask(shared, "SELECT type FROM topo.activities WHERE type > 'y'") == [("zebra",)]
    assert ask(shared, "SELECT type FROM topo.activities WHERE type < 'b'") == [("aardvark",)]


@IN_EVERY_PLACE
def test_maintenance_changes_no_row_and_merges_small_files_of_a_lake(warehouse: Warehouse) -> None:
    for number in range(3):
        land_into(warehouse, reading(*(activity(n) for n in range(number + 1))))
    before = snapshot(warehouse)
    is_lake = warehouse.target.startswith("ducklake:")
    files = len(ask(warehouse, FILES)) if is_lake else 0
    maintain_lake(warehouse)
    assert snapshot(warehouse) == before
    if is_lake:
        assert len(ask(warehouse, FILES)) == 1 != files  # rows that a local lake has inlined get a file too


def test_maintenance_of_a_missing_lake_creates_nothing(tmp_path: Path) -> None:
    lake = Warehouse(f"ducklake:{tmp_path / 'data' / 'lake.db'}")
    maintain_lake(lake)
    assert not path_of(lake).parent.exists()


@pytest.mark.parametrize("prefix", ["", "ducklake:"])
def test_only_a_lake_has_the_maintenance_job_and_its_schedule(tmp_path: Path, prefix: str) -> None:
    built = definitions.build(Settings(_env_file=None, warehouse=f"{prefix}{tmp_path / 'topo.db'}"))
    jobs, schedules = ({each.name for each in found or ()} for found in (built.jobs, built.schedules))
    assert ("maintain_lake" in jobs) is ("nightly_maintenance_schedule" in schedules) is bool(prefix)


def test_the_job_maintains_the_lake(tmp_path: Path) -> None:
    lake = Warehouse(f"ducklake:{tmp_path / 'lake.db'}")
    for number in (1, 2):
        land_into(lake, reading(*(activity(n) for n in range(number))))
    built = definitions.build(Settings(_env_file=None, warehouse=lake.name), warehouse=lake)
    assert built.resolve_job_def("maintain_lake").execute_in_process().success
    assert len(ask(lake, FILES)) == 1
