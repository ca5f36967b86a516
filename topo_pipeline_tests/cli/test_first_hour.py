"""The commands of docs/first-hour.md, run in order in an empty folder against a simulated workspace."""

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from topo_pipeline.defs.resources import utc_now
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline_tests.command_line import answer
from topo_pipeline_tests.pages import commands_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def api_url() -> Iterator[str]:
    world = World(7, scale=0.1, starts=date(2026, 11, 1))
    with serve(create_app(world, api_key=os.environ["TOPO_API_KEY"], now=lambda: NOW, date_clock=utc_now)) as address:
        yield f"{address}/v1"


def test_the_commands_of_the_first_hour_work(api_url: str, tmp_path: Path) -> None:
    # `dev` runs until it is stopped: orchestration/test_dev.py.
    *commands, rest = (command for command in commands_of("docs/first-hour.md") if command != ["dev"])
    for command in commands:
        done = answer(tmp_path, *command, tables=["sequence_activity"], TOPO_API_URL=api_url)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    assert rest == ["backfill", "2026-01-01", "2026-11-22"]  # it would take long, and the line before has estimated it
    assert {".env", ".dagster", "data", "contract.txt"} <= {path.name for path in tmp_path.iterdir()}
    assert "7 days since 2026-11-02" in answer(tmp_path, "status").stdout
