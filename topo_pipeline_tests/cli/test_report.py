"""The command `report`."""

from pathlib import Path

import pytest

from topo_pipeline.cli import report
from topo_pipeline_tests.command_line import answer, assert_one_sentence


def test_report_writes_the_file_and_prints_only_its_path(landed: Path) -> None:
    result = answer(landed, "report", TOPO_WAREHOUSE="topo.duckdb", TOPO_REPORT_DIR="here")
    assert result.returncode == 0, result.stderr
    [path] = result.stdout.splitlines()
    assert Path(path).parent == landed / "here"
    assert "<html" in Path(path).read_text()


@pytest.mark.parametrize("has_browser", [True, False])
def test_the_report_opens_in_the_browser_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_browser: bool
) -> None:
    opened: list[str] = []

    def browser(address: str) -> bool:
        opened.append(address)
        return has_browser

    monkeypatch.setattr("webbrowser.open", browser)
    monkeypatch.setattr(report, "write_report", lambda: tmp_path / "report.html")
    result = answer(tmp_path, "report", "--open")
    assert result.returncode == 0
    assert result.stdout.split() == [str(tmp_path / "report.html")]
    assert opened == [(tmp_path / "report.html").as_uri()]
    assert ("Open the file yourself" in result.stderr) is not has_browser


def test_an_unwritable_report_is_a_one_line_error(landed: Path) -> None:
    (landed / "here").write_text("a file where a folder should be")
    assert_one_sentence(answer(landed, "report", TOPO_WAREHOUSE="topo.duckdb", TOPO_REPORT_DIR="here"), "here")
