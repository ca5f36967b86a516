"""The command `demo`: its folder and its output."""

import json
import re
import shlex
import shutil
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from subprocess import CompletedProcess

import duckdb
import pytest

from topo_pipeline.engagement.tables import tables
from topo_pipeline.orchestration.instance import opened
from topo_pipeline.sandbox import demo as simulated
from topo_pipeline_tests.command_line import answer, assert_one_sentence
from topo_pipeline_tests.pages import blocks_of

PUBLISHED = ("publish/engagement_report", "publish/parquet")


@dataclass(frozen=True)
class Demo:
    """A folder in which the demo ran with a real key set, and what it printed."""

    folder: Path
    days: int
    stdout: str

    @property
    def warehouse(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(self.folder / "data" / "demo" / "topo.duckdb", read_only=True)

    def run_again(self) -> CompletedProcess[str]:
        return run_demo(self.folder, self.days, TOPO_API_KEY=None)


def run_demo(folder: Path, days: int, **environment: str | None) -> CompletedProcess[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulated, "DAYS", days)
        return answer(folder, "demo", **environment)


@pytest.fixture(scope="module", params=[3, pytest.param(simulated.DAYS, marks=pytest.mark.full)])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    result = run_demo(folder, request.param, TOPO_API_KEY="topo_real_key")
    assert result.returncode == 0, result.stderr
    return Demo(folder, request.param, result.stdout)


def test_the_demo_reads_26_weeks() -> None:
    assert simulated.DAYS == 26 * 7


def test_the_first_partition_is_the_first_day_of_the_demo(demo: Demo) -> None:
    """Dagster would show earlier ones as missing."""
    with demo.warehouse as connection:
        [(first, last)] = connection.execute("SELECT min(day), max(day) FROM topo.topo.loads").fetchall()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulated, "DAYS", demo.days)
        environment = simulated.environment("http://127.0.0.1:9/v1", last + timedelta(days=1))
    assert environment["TOPO_START_DATE"] == str(first)


def test_the_demo_materializes_every_asset(demo: Demo) -> None:
    with opened(demo.folder / "data" / "demo" / "dagster") as instance:
        materialized = {key.to_user_string() for key in instance.all_asset_keys()}
    built = {f"engagement/{name}" for name in tables()}
    assert materialized == {"topo/activities", "topo/sequence_templates", *PUBLISHED, *built}
    parquet = demo.folder / "data" / "demo" / "report" / "parquet" / "latest" / "engagement"
    assert {file.stem for file in parquet.iterdir()} >= set(tables())


def test_the_demo_ends_with_commands_that_work(demo: Demo) -> None:
    lines = demo.stdout.partition("Next:\n")[2].splitlines()
    commands = [re.split("  +", line.strip())[0] for line in lines]
    programs, arguments = zip(*(command.split(" ", 1) for command in commands), strict=True)
    assert set(programs) == {"topo-pipeline"}
    report, explain, dev = map(shlex.split, arguments)
    assert dev == ["dev", "--demo"]
    assert report == ["report", "--demo", "--open"]
    assert answer(demo.folder, *report[:-1], TOPO_API_KEY="topo_real_key").returncode == 0
    explained = answer(demo.folder, *explain, TOPO_API_KEY="topo_real_key")
    assert explained.returncode == 0, explained.stderr
    assert explained.stdout.startswith(explain[-1])


@pytest.mark.parametrize("page", ["README.md", "docs/data.md"])
def test_the_python_of_the_documentation_reads_the_demo(
    demo: Demo, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").symlink_to(demo.folder / "data" / "demo")  # as if it was a workspace
    monkeypatch.chdir(tmp_path)
    programs = [program for program in blocks_of(page, "python") if "s3://" not in program]
    assert programs
    for program in programs:
        exec(program, {})  # noqa: S102 - of our own page
        assert "sequence_name" in capfd.readouterr().out


@pytest.mark.parametrize("arguments", [("status",), ("sequences",), ("export", "sequence_daily"), ("doctor", "--json")])
def test_commands_show_the_demo_if_there_is_no_workspace_and_say_so(demo: Demo, arguments: tuple[str, ...]) -> None:
    shown = answer(demo.folder, *arguments, TOPO_API_KEY=None)
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr.splitlines()[0] == "This is the demo, a simulated workspace in data/demo."
    assert answer(demo.folder, *arguments, "--demo", TOPO_API_KEY="topo_real_key").returncode == 0


def test_doctor_does_not_list_the_variables_of_the_demo(demo: Demo) -> None:
    findings = json.loads(answer(demo.folder, "doctor", "--demo", "--json").stdout)["findings"]
    [settings] = [finding["found"] for finding in findings if finding["check"] == "settings"]
    assert settings == "Those of the demo. Reporting days are in UTC."


def test_with_a_workspace_commands_show_the_demo_only_if_asked(demo: Demo, tmp_path: Path) -> None:
    for environment in ({}, {"TOPO_API_KEY": None, "TOPO_WAREHOUSE": "ducklake:data/lake.ducklake"}):
        shown = answer(demo.folder, "status", **environment)
        assert_one_sentence(shown, "There is no warehouse at")
        assert "This is the demo" not in shown.stderr
    assert_one_sentence(answer(tmp_path, "status", "--demo"), "There is no demo in this folder yet")
    shutil.copytree(demo.folder / "data" / "demo", tmp_path / "data" / "demo")
    (tmp_path / ".env").write_text("TOPO_API_KEY=\n")  # as init writes it
    assert_one_sentence(answer(tmp_path, "status", TOPO_API_KEY=None), "There is no warehouse at")


def test_the_demo_writes_only_to_its_own_folder(demo: Demo) -> None:
    assert sorted(path.relative_to(demo.folder).parts[:2] for path in demo.folder.rglob("*.duckdb")) == [
        ("data", "demo")
    ]
    assert not (demo.folder / ".dagster").exists()
    assert "data/demo/topo.duckdb" in demo.stdout
    assert "data/demo/report" in demo.stdout
    assert (demo.folder / "data" / "demo" / "report" / "engagement_report.html").is_file()


def test_the_demo_prints_the_numbers_of_its_tables(demo: Demo) -> None:
    with demo.warehouse as connection:
        summary = connection.execute(
            "SELECT sequence_name, unique_touched, unique_valid_replies, unique_meetings, reply_rate"
            " FROM engagement.sequence_summary WHERE period = 'lifetime' AND sequence_template_id IS NOT NULL"
        ).fetchall()
        landed = connection.execute("SELECT count(DISTINCT day) FROM topo.topo.loads").fetchone()
    assert landed == (demo.days,)
    assert len(summary) >= 10  # nine sequences enrol contacts every day, and one of four takes its turn
    lines = demo.stdout.partition("Next:\n")[0].splitlines()
    assert "no sequence" not in demo.stdout
    for name, *counts, rate in summary:
        [line] = [line for line in lines if name in line]
        assert line.split(name)[1].split()[:3] == [f"{count:,}" for count in counts]
        assert f"{100 * rate:.1f}%" in line if rate is not None else "–" in line


@pytest.mark.full  # smaller: test_reading_a_range_twice_changes_no_number in defs/test_ranged_runs
def test_running_the_demo_again_changes_no_number(demo: Demo, tmp_path: Path) -> None:
    again = replace(demo, folder=shutil.copytree(demo.folder, tmp_path, symlinks=True, dirs_exist_ok=True))
    second = again.run_again()
    assert second.returncode == 0, second.stderr
    assert second.stdout == demo.stdout
    with again.warehouse as connection:
        loads = connection.execute("SELECT count(*), count(DISTINCT day) FROM topo.topo.loads").fetchone()
        changes = connection.execute("SELECT count(*) FROM topo.topo.activity_changes").fetchone()
    assert loads == (2 * demo.days, demo.days)
    assert changes == (0,)
