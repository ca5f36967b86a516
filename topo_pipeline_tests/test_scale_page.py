"""The scripts of docs/scale.md: from a file to a shared lake, and from one organization to several."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from topo_pipeline.engagement.building import build
from topo_pipeline.engagement.tables import tables
from topo_pipeline.settings import Settings
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.command_line import answer, run
from topo_pipeline_tests.warehouse.builders import DAY, LANDED, activity, land_into, reading, records

if TYPE_CHECKING:
    from topo_pipeline_tests.services.postgres import Database


PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
WIPING, MOVING = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_assets_of_a_single_organization_are_removed_from_dagsters_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").touch()
    of_one = [dg.AssetKey(path) for path in (["topo", "activities"], ["engagement", "sequence_runs"])]
    kept = [dg.AssetKey([name, "topo", "activities"]) for name in ("acme", "topo")]
    with dg.DagsterInstance.get() as instance:
        for key in (*of_one, *kept):
            instance.report_runless_asset_event(dg.AssetMaterialization(key))
        exec(WIPING, {})  # noqa: S102 - of our own page
        assert instance.all_asset_keys() == kept


def test_a_file_is_moved_to_a_shared_lake_from_which_a_report_is_written(
    postgres_database: "Database", tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    old = Warehouse(str(tmp_path / "data" / "topo.duckdb"))
    land_into(old, reading(activity(1), activity(2)))
    with old.transaction() as connection:
        connection.execute("INSERT INTO topo.forgotten VALUES ('hash', now())")
        build(connection, tables()["sequence_activity"], timezone="UTC", now=LANDED, days=[DAY])
    place = {
        "TOPO_WAREHOUSE": f"ducklake:postgres:{postgres_database.dsn}",
        "TOPO_LAKE_DATA_PATH": str(tmp_path / "files"),
    }
    moved = run(tmp_path, sys.executable, "-c", MOVING, **place)
    assert moved.returncode == 0, moved.stderr
    lake = Warehouse.of(Settings(_env_file=None, **{name[5:].lower(): text for name, text in place.items()}))
    for name in ("topo.activities", "topo.loads", "topo.forgotten", "engagement.sequence_activity"):
        assert records(lake, name) == records(old, name) != []
    done = answer(tmp_path, "report", TOPO_REPORT_DIR="report", **place)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report" / "engagement_report.html").is_file()
