"""The UI as `make dev` opens it, and a range of days launched by Dagster's own command line."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import httpx
import pytest
import stamina

from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline_tests.test_definitions import BIN

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
RANGE = "2026-03-02...2026-03-04"
PATIENCE = {"attempts": None, "timeout": 90.0, "wait_initial": 0.2, "wait_max": 0.5}


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _until(holds: Callable[[], None]) -> None:
    """Ask again until it holds, for as long as a slow machine may need."""
    stamina.retry(on=(httpx.HTTPError, AssertionError), **PATIENCE)(holds)()


def test_without_a_key_dev_serves_the_ui_over_the_demo_and_ends_with_all_its_services(tmp_path: Path) -> None:
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TOPO_", "DAGSTER_"))}
    log = tmp_path / "log"
    with log.open("wb") as output, subprocess.Popen(  # noqa: S603
        [BIN / "topo-pipeline", "dev", "--port", str(port)],
        cwd=tmp_path, env=environment, stdout=output, stderr=output, start_new_session=True,
    ) as process:  # fmt: skip
        try:

            def loaded() -> None:
                query = "{repositoriesOrError{... on RepositoryConnection{nodes{location{name} assetNodes{id}}}}}"
                answer = httpx.post(f"http://127.0.0.1:{port}/graphql", json={"query": query}, timeout=30).json()
                [location] = answer["data"]["repositoriesOrError"]["nodes"]
                assert len(location["assetNodes"]) == 6

            _until(loaded)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))  # nobody serves there any more
    assert (tmp_path / "data" / "demo" / "dagster" / "dagster.yaml").exists()
    assert not (tmp_path / ".dagster").exists()
    said = log.read_text()
    assert "TOPO_API_KEY is not set" in said
    assert "Warning" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "command",
    [
        ("dg", "launch", "--assets", "*", "--partition-range", RANGE),
        (
            "dagster",
            "asset",
            "materialize",
            "--select",
            "*",
            "-m",
            "topo_pipeline.definitions",
            "--partition-range",
            RANGE,
        ),
    ],
    ids=["dg launch", "dagster asset materialize"],
)
def test_dagsters_command_line_reads_a_range(tmp_path: Path, elsewhere: Path, command: tuple[str, ...]) -> None:
    with serve(create_app(World(11, scale=0.1), api_key=os.environ["TOPO_API_KEY"], now=lambda: NOW)) as address:
        result = subprocess.run(  # noqa: S603
            [str(BIN / command[0]), *command[1:]],
            cwd=elsewhere,
            env={
                **os.environ,
                "TOPO_API_URL": f"{address}/v1",
                "TOPO_WAREHOUSE": str(tmp_path / "topo.duckdb"),
                "DAGSTER_HOME": str(tmp_path),
            },
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    with duckdb.connect(tmp_path / "topo.duckdb", read_only=True) as connection:
        assert connection.execute("SELECT count(DISTINCT day) FROM topo.topo.loads").fetchone() == (3,)
        [(rows,)] = connection.execute("SELECT count(*) FROM engagement.sequence_summary").fetchall()
    assert rows > 0
