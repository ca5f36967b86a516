"""The script of docs/scale.md moves a warehouse from a file to a shared lake."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from topo_pipeline.engagement.tables import build, in_order
from topo_pipeline.settings import get_settings
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.warehouse.builders import DAY, LANDED, activity, land_into, reading, records

if TYPE_CHECKING:
    from topo_pipeline_tests.services.postgres import Database


PAGE = Path(__file__).parents[1] / "docs" / "scale.md"


def test_a_file_is_moved_to_a_shared_lake(
    postgres_database: "Database", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [script] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    old = Warehouse("data/topo.duckdb")
    land_into(old, reading(activity(1), activity(2)))
    with old.transaction() as connection:
        connection.execute("INSERT INTO topo.forgotten VALUES ('hash', now())")
        for table in in_order():
            build(connection, table, timezone="UTC", now=LANDED, days=[DAY])
    monkeypatch.setenv("TOPO_WAREHOUSE", f"ducklake:postgres:{postgres_database.dsn}")
    monkeypatch.setenv("TOPO_LAKE_DATA_PATH", str(tmp_path / "files"))
    exec(script, {})  # noqa: S102 - of our own page
    lake = Warehouse.of(get_settings())
    for name in ("topo.activities", "topo.loads", "topo.forgotten", "engagement.sequence_activity"):
        assert records(lake, name) == records(old, name) != []
