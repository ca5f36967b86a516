"""The asset `publish/parquet`."""

from pathlib import Path

import dagster as dg
import duckdb

from topo_pipeline.defs.publish import published_assets
from topo_pipeline_tests.defs.conftest import NOW, SETTINGS, Pipeline
from topo_pipeline_tests.engagement.helpers import TABLES

[PARQUET] = [asset for asset in published_assets(SETTINGS) if asset.key.path[-1] == "parquet"]


def materialize(pipeline: Pipeline, report_dir: Path) -> dg.ExecuteInProcessResult:
    settings = pipeline.definitions.resources["settings"].model_copy(update={"report_dir": report_dir})
    resources = {"settings": settings, "warehouse": pipeline.warehouse, "clock": lambda: NOW}
    return dg.materialize([PARQUET], resources=resources, instance=pipeline.instance, raise_on_error=False)


def test_the_export_is_in_the_report_dir_and_its_size_is_metadata(copied: Pipeline, tmp_path: Path) -> None:
    result = materialize(copied, tmp_path / "report")
    assert result.success
    [event] = result.asset_materializations_for_node("publish__parquet")
    shown = {name: value.value for name, value in event.metadata.items()}
    latest = tmp_path / "report" / "parquet" / "latest"
    assert (shown["latest"], shown["folder"]) == (str(latest), str(latest.resolve()))
    files = list(latest.resolve().rglob("*.parquet"))
    assert (shown["files"], shown["bytes"]) == (len(files), sum(file.stat().st_size for file in files))
    with duckdb.connect() as connection:
        rows = [len(connection.read_parquet(str(file)).fetchall()) for file in files]
    assert shown["rows"] == sum(rows)


def test_the_asset_depends_on_every_table_that_it_exports() -> None:
    above = {key.to_user_string() for key in PARQUET.dependency_keys}
    assert above == {"topo/activities", "topo/sequence_templates", *(f"engagement/{name}" for name in TABLES)}


def test_an_unwritable_folder_fails_the_run_with_a_one_line_error(copied: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "report").write_text("a file where the folder would be")
    result = materialize(copied, tmp_path / "report")
    [failure] = result.get_step_failure_events()
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    assert f"The export to {tmp_path / 'report' / 'parquet'} can't be written" in str(data.description)
