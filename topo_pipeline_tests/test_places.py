"""The whole path, from the API to an export, with the warehouse in each place."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.settings import Settings
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.command_line import answer
from topo_pipeline_tests.conftest import API_KEY


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def api_url() -> Iterator[str]:
    with serve(create_app(World(11, scale=0.1), api_key=API_KEY, now=now)) as address:
        yield f"{address}/v1"


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Return the variables that set the place of the warehouse."""
    if request.param in {"file", "lake"}:
        return {"TOPO_WAREHOUSE": f"{'ducklake:' if request.param == 'lake' else ''}{tmp_path / 'topo.duckdb'}"}
    dsn = request.getfixturevalue("postgres_database").dsn
    folder = f"{request.getfixturevalue('s3_bucket').url}/lake" if request.param == "s3" else str(tmp_path / "data")
    return {"TOPO_WAREHOUSE": f"ducklake:postgres:{dsn}", "TOPO_LAKE_DATA_PATH": folder, "TOPO_LAKE_SCHEMA": "own"}


# A shared lake does what a local one does, and more. Tests of each command use a file.
# smaller: in a shared lake, with few tables in orchestration/test_organizations.py, with all in test_scale_page.py
@pytest.mark.full
@pytest.mark.parametrize("place", ["file", "lake", "shared", "s3"], indirect=True)
def test_two_days_are_read_exported_and_a_person_is_erased(place: dict[str, str], tmp_path: Path, api_url: str) -> None:
    variables = {**place, "TOPO_API_URL": api_url, "DAGSTER_HOME": str(tmp_path / "home")}
    variables |= {"TOPO_REPORT_DIR": str(tmp_path / "report")}

    def run(*arguments: str) -> str:
        done = answer(tmp_path, *arguments, **variables)
        assert "pg_test_" not in done.stdout + done.stderr
        assert done.returncode == 0, done.stderr
        return done.stdout

    first, last = (str(now().date() - timedelta(days=ago)) for ago in (2, 1))
    run("backfill", first, last)
    status = json.loads(run("status", "--json"))
    assert (status["days"], status["missing"], status["behind"]) == (2, [], [])
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        warehouse = Warehouse.of(Settings(_env_file=None))
    with warehouse.reader() as connection:
        [(activities, person)] = connection.execute(
            "SELECT count(*), max(person_id)::VARCHAR FROM topo.activities"
        ).fetchall()
        [(runs,)] = connection.execute("SELECT count(*) FROM engagement.sequence_runs").fetchall()
    assert activities == status["activities"] > 0
    assert runs > 0
    run("report")
    assert (tmp_path / "report" / "engagement_report.html").is_file()
    assert "erased" in run("forget", person, "--yes").lower()
    exported = run("export", "topo.activities")
    assert 0 < len(exported.splitlines()) - 1 < activities
    assert person not in exported
