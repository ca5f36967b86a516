"""The assets that publish to targets outside this machine."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from topo_pipeline.definitions import build
from topo_pipeline.settings import Settings
from topo_pipeline_tests.defs.conftest import Pipeline, pipeline_over
from topo_pipeline_tests.engagement.helpers import TABLES, drop_all_but

if TYPE_CHECKING:
    from topo_pipeline_tests.services.postgres import Database
    from topo_pipeline_tests.services.s3 import S3, Bucket


def published(definitions: dg.Definitions) -> set[str]:
    return {spec.key.path[-1] for spec in definitions.resolve_all_asset_specs() if spec.key.path[0] == "publish"}


def materialize(pipeline: Pipeline, name: str) -> dg.ExecuteInProcessResult:
    job = pipeline.definitions.resolve_job_def("publish")
    key = dg.AssetKey(["publish", name])
    return job.execute_in_process(instance=pipeline.instance, asset_selection=[key], raise_on_error=False)


def test_there_is_an_asset_for_each_target_in_the_settings_and_the_weekly_job_runs_it() -> None:
    assert published(build(Settings(_env_file=None))) == {"engagement_report", "parquet"}
    built = build(Settings(_env_file=None, publish_s3="s3://bucket", publish_postgres="host=x", publish_iceberg="a.b"))
    assert published(built) == {"engagement_report", "parquet", "s3", "postgres", "iceberg"}
    layer = built.resolve_job_def("publish").asset_layer
    above = {"topo/activities", "topo/sequence_templates", *(f"engagement/{name}" for name in TABLES)}
    for name in ("s3", "postgres", "iceberg"):
        assert dg.AssetKey(["publish", name]) in layer.selected_asset_keys
        parents = layer.get(dg.AssetKey(["publish", name])).parent_keys
        assert {key.to_user_string() for key in parents} == above


def test_what_was_published_is_metadata(
    built: Path, tmp_path: Path, api_key: str, s3_bucket: "Bucket", postgres_database: "Database"
) -> None:
    settings = {"publish_s3": f"{s3_bucket.url}/a", "publish_postgres": postgres_database.dsn}
    with pipeline_over(tmp_path, api_key, **settings) as pipeline:
        shutil.copy(built, tmp_path)
        drop_all_but(pipeline.warehouse, "sequence_activity")
        shown = {}
        for name in ("s3", "postgres"):
            result = materialize(pipeline, name)
            [event] = result.asset_materializations_for_node(f"publish__{name}")
            shown[name] = {label: value.value for label, value in event.metadata.items()}
        [(activities,)] = pipeline.rows("SELECT count(*) FROM topo.activities")
    assert shown["s3"].pop("target") == f"{s3_bucket.url}/a"
    assert shown["postgres"].pop("target") == "the Postgres schema topo_published"
    assert {name: shown["s3"][name] for name in ("tables", "files", "rows")} == {
        name: shown["postgres"][name] for name in ("tables", "files", "rows")
    }
    with postgres_database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM topo_published.activities").fetchall() == [(activities,)]
    files = [key for key in s3_bucket.keys() if key.endswith(".parquet")]  # noqa: SIM118
    assert shown["s3"]["files"] == len(files)


def test_a_catalog_is_described_by_the_variables_of_pyiceberg(
    built: Path, tmp_path: Path, api_key: str, s3: "S3", monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyiceberg.catalog import load_catalog  # noqa: PLC0415

    properties = s3.catalog()
    for name, value in properties.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__HOUSE__{name.upper().replace('.', '__').replace('-', '_')}", value)
    with pipeline_over(tmp_path, api_key, publish_iceberg="house.topo") as pipeline:
        shutil.copy(built, tmp_path)
        drop_all_but(pipeline.warehouse, "sequence_activity")
        assert materialize(pipeline, "iceberg").success
        [(activities,)] = pipeline.rows("SELECT count(*) FROM topo.activities")
    assert load_catalog("other", **properties).load_table(("topo", "activities")).scan().count() == activities


def test_no_event_of_a_failed_run_shows_a_secret(built: Path, tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, publish_postgres="host=127.0.0.1 port=9 password=hunter2") as pipeline:
        shutil.copy(built, tmp_path)
        result = materialize(pipeline, "postgres")
        [failure] = result.get_step_failure_events()
        data = failure.step_failure_data.user_failure_data
        assert data is not None and "Connection refused" in str(data.description)
        events = str(pipeline.instance.all_logs(result.run_id)) + str(result.all_events)
    assert "Connection refused" in events
    assert "hunter2" not in events
