import shutil
from datetime import date
from pathlib import Path

import pytest

from topo_pipeline.warehouse.workspace import bind_timezone
from topo_pipeline_tests.engagement.helpers import Workspace, enrolled, march, opened, replied, sent
from topo_pipeline_tests.warehouse.builders import path_of

ADA, BOB = {"run": "A", "person": "Ada"}, {"run": "B", "person": "Bob"}
ACTIVITIES = [
    enrolled(march(1), **ADA),
    sent(march(1, 10), **ADA),
    replied(march(3), **ADA),
    # On two of Ada's days, so that they have rows after she is erased.
    sent(march(1, 12), run="C", person="Cid"),
    opened(march(3, 12), run="C", person="Cid"),
    enrolled(march(2), **BOB),
    sent(march(2, 10), **BOB),
    opened(march(33), **BOB),  # the 2nd of April
]


@pytest.fixture(scope="session")
def built_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = Workspace(str(tmp_path_factory.mktemp("workspace") / "topo.duckdb"))
    with workspace.warehouse.transaction() as connection:
        bind_timezone(connection, "UTC", now=workspace.now)
    workspace.land_all(ACTIVITIES, still_open=date(2026, 4, 2))
    workspace.name(outbound='=1+1, "quoted"\n<script> \u202eRTL \U0001f600')
    workspace.build()
    return path_of(workspace.warehouse)


@pytest.fixture
def workspace(built_workspace: Path, tmp_path: Path) -> Workspace:
    """A workspace of two people and two months with every table built; the last day is open."""
    return Workspace(str(shutil.copy(built_workspace, tmp_path / "topo.duckdb")))
