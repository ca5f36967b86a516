"""`doctor` on the command line: an exit code, a document for scripts, a line a finding in a pipe."""

import json
import os
from pathlib import Path

from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline_tests.command_line import answer, topo_pipeline
from topo_pipeline_tests.doctor.conftest import now


def test_warnings_are_no_reason_to_fail(tmp_path: Path) -> None:
    with serve(create_app(World(11, scale=0.1), api_key=os.environ["TOPO_API_KEY"], now=now)) as address:
        result = answer(tmp_path, "doctor", TOPO_API_URL=f"{address}/v1")
    assert result.returncode == 0, result.stdout
    assert result.stdout.splitlines()[-1] == "0 problems, 4 warnings."
    assert list(tmp_path.iterdir()) == []


def test_a_problem_is_and_a_script_reads_which(tmp_path: Path) -> None:
    result = answer(tmp_path, "doctor", "--json", TOPO_API_URL="http://127.0.0.1:9/v1")
    assert result.returncode == 1
    told = json.loads(result.stdout)
    assert told["problems"] == 1
    [problem] = [finding for finding in told["findings"] if finding["level"] == "problem"]
    assert problem["check"] == "topo"
    assert problem["do"]


def test_in_a_pipe_each_finding_is_a_line_whatever_is_wrong(tmp_path: Path) -> None:
    """In a process of its own: settings that can't be used must not keep anything from loading."""
    (tmp_path / "data").write_text("a file where a folder should be")
    wrong = {"TOPO_API_KEY": None, "TOPO_API_URL": "http://127.0.0.1:9/v1", "TOPO_TIMEZONE": "Mars"}
    result = topo_pipeline(tmp_path, "doctor", COLUMNS="40", **wrong)
    assert result.returncode == 1
    *findings, last = result.stdout.splitlines()
    assert [line.split()[0] for line in findings].count("problem") == 4
    assert {line.split()[0] for line in findings} == {"problem", "warning", "ok"} - {"ok"}
    assert last.startswith("4 problems")
    assert "Traceback" not in result.stdout + result.stderr
    assert "\x1b" not in result.stdout
