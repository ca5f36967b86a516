"""The asset `publish/engagement_report`."""

import errno
import html
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from topo_pipeline.defs.publish import is_about
from topo_pipeline.report import bundle
from topo_pipeline_tests.defs.conftest import NOW, Pipeline, pipeline_over
from topo_pipeline_tests.warehouse.builders import path_of

REPORT = dg.AssetKey(["publish", "engagement_report"])


@pytest.fixture
def reporting(built: Path, tmp_path: Path, api_key: str) -> Iterator[Pipeline]:
    """A pipeline with four landed days, every table and its own report folder."""
    with pipeline_over(tmp_path, api_key, report_dir=str(tmp_path / "not there" / "yet")) as pipeline:
        shutil.copy(built, tmp_path)
        yield pipeline


def publish(pipeline: Pipeline) -> dg.ExecuteInProcessResult:
    job = pipeline.definitions.resolve_job_def("publish")
    return job.execute_in_process(instance=pipeline.instance, asset_selection=[REPORT], raise_on_error=False)


def test_the_report_shows_what_is_in_the_tables_and_dagster_links_to_it(reporting: Pipeline, tmp_path: Path) -> None:
    with reporting.warehouse.transaction() as connection:
        connection.execute("UPDATE engagement.sequence_channels SET tracking_off = true WHERE period = '28d'")
    result = publish(reporting)
    [event] = result.asset_materializations_for_node("publish__engagement_report")
    path = tmp_path / "not there" / "yet" / "engagement_report.html"
    [(sequences,)] = reporting.rows("SELECT count(DISTINCT sequence_template_id) FROM engagement.sequence_runs")
    metadata = {name: value.value for name, value in event.metadata.items()}
    page = path.read_text(encoding="utf-8")
    to_do = str(metadata.pop("do_this_week"))
    assert "1. **" in to_do
    for claim in re.findall(r"\*\*(.+?)\*\*", to_do):  # the words of the report
        assert html.unescape(claim) in html.unescape(re.sub("[\u2068\u2069]", "", page))
    assert metadata == {
        "path": str(path),
        "open": path.as_uri(),
        "kept": str(path.parent / "reports" / f"engagement_report_{NOW.date()}.html"),
        "bytes": path.stat().st_size,
        "as_of": f"{NOW.date().replace(day=NOW.day - 1)}",
        "sequences": sequences,
    }
    names = reporting.rows(
        "SELECT name FROM topo.sequence_templates JOIN engagement.sequence_summary"
        " ON id = sequence_template_id WHERE period = 'lifetime'"
    )
    assert names
    assert all(name in page for (name,) in names)
    assert {file.name for file in path.parent.iterdir()} == {path.name, "reports"}


def test_the_page_of_the_summary_shows_the_findings_of_the_last_report(reporting: Pipeline, tmp_path: Path) -> None:
    result = publish(reporting)
    [written] = result.asset_materializations_for_node("publish__engagement_report")
    event = reporting.instance.fetch_observations(dg.AssetKey(["engagement", "sequence_summary"]), limit=2).records
    assert [record.asset_observation.metadata for record in event] == [
        {name: written.metadata[name] for name in ("do_this_week", "as_of", "open")}
    ]


def error_of(result: dg.ExecuteInProcessResult) -> str:
    [event] = result.get_step_failure_events()
    data = event.step_failure_data.user_failure_data
    return str(data and data.description)


def test_an_unwritable_folder_is_a_one_line_error(reporting: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "not there").write_text("a file")
    error = error_of(publish(reporting))
    assert error.startswith(f"Could not write the report to {tmp_path / 'not there' / 'yet'} (TOPO_REPORT_DIR): ")


def test_a_damaged_script_is_not_explained_by_the_folder(
    reporting: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vega.js.gz").write_bytes(b"damaged")
    monkeypatch.setattr(bundle, "packed", (tmp_path / "vega.js.gz").read_bytes)
    [event] = publish(reporting).get_step_failure_events()
    assert event.step_failure_data.user_failure_data is None
    error = event.step_failure_data.error
    assert error is not None
    assert error.cause is not None
    assert error.cause.cls_name == "BadGzipFile"
    assert any("page.py" in line for line in error.cause.stack)


@pytest.mark.parametrize(
    ("number", "name", "is_about_it"),
    [
        (errno.ENOSPC, None, True),
        (errno.EROFS, "reports/acme", True),
        (errno.EACCES, "reports/acme/reports/one.html", True),
        (errno.EACCES, "reports", True),
        (errno.EACCES, "reports/acme2", False),
        (errno.EACCES, "package/vega.js.gz", False),
        (errno.EBADF, 7, False),
        (None, None, False),
    ],
)
def test_an_error_is_explained_by_the_folder_if_it_is_about_it(
    number: int | None, name: str | int | None, is_about_it: bool
) -> None:
    error = OSError("damaged") if number is None else OSError(number, "refused", name)
    assert is_about(Path("reports/acme"), error) is is_about_it


def test_publishing_without_a_warehouse_is_an_error(reporting: Pipeline) -> None:
    path_of(reporting.warehouse).unlink()
    assert "Read a day first" in error_of(publish(reporting))
