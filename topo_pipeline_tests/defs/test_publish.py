"""What is published: made on demand of what the tables hold, told to Dagster, and refused in one sentence."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from topo_pipeline_tests.defs.conftest import NOW, Pipeline, pipeline_over

REPORT = dg.AssetKey(["publish", "engagement_report"])


@pytest.fixture
def reporting(built: Path, tmp_path: Path, api_key: str) -> Iterator[Pipeline]:
    """Over the four days that were read and made tables of, with a folder of its own to publish into."""
    with pipeline_over(tmp_path, api_key, report_dir=str(tmp_path / "not there" / "yet")) as pipeline:
        shutil.copy(built, tmp_path)
        yield pipeline


def publish(pipeline: Pipeline) -> dg.ExecuteInProcessResult:
    job = pipeline.definitions.resolve_job_def("publish")
    return job.execute_in_process(instance=pipeline.instance, asset_selection=[REPORT], raise_on_error=False)


def test_the_report_is_a_file_of_what_the_tables_hold_and_dagster_links_to_it(
    reporting: Pipeline, tmp_path: Path
) -> None:
    result = publish(reporting)
    [told] = result.asset_materializations_for_node("publish__engagement_report")
    path = tmp_path / "not there" / "yet" / "engagement_report.html"
    [(sequences,)] = reporting.rows("SELECT count(DISTINCT sequence_template_id) FROM engagement.sequence_runs")
    assert {name: value.value for name, value in told.metadata.items()} == {
        "path": str(path),
        "open": path.as_uri(),
        "bytes": path.stat().st_size,
        "as_of": f"{NOW.date().replace(day=NOW.day - 1)}",
        "sequences": sequences,
    }
    names = reporting.rows(
        "SELECT name FROM topo.sequence_templates JOIN engagement.sequence_summary"
        " ON id = sequence_template_id WHERE period = 'lifetime'"
    )
    page = path.read_text(encoding="utf-8")
    assert names
    assert all(name in page for (name,) in names)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_written_ends_in_one_sentence(reporting: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "not there").write_text("a file")
    [event] = publish(reporting).get_step_failure_events()
    told = event.step_failure_data.user_failure_data
    assert told is not None
    assert told.description.startswith(f"Could not write the report to {tmp_path / 'not there' / 'yet'}")


def test_without_a_warehouse_there_is_nothing_to_publish(reporting: Pipeline) -> None:
    reporting.warehouse.path.unlink()
    [event] = publish(reporting).get_step_failure_events()
    told = event.step_failure_data.user_failure_data
    assert told is not None
    assert "load a day first" in told.description
