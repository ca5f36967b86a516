import shutil
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from topo_pipeline.exports.parquet import write_files
from topo_pipeline.exports.targets import Target
from topo_pipeline.warehouse.workspace import bind_timezone
from topo_pipeline_tests.conftest import made_once
from topo_pipeline_tests.engagement.helpers import TABLES, Workspace, enrolled, made_of, march, opened, replied, sent
from topo_pipeline_tests.exports import readers

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


FEW = ("topo.activities", "topo.loads", "engagement.sequence_steps")


def built(file: Path, tables: Collection[str] = TABLES) -> Workspace:
    workspace = Workspace(str(file))
    with workspace.warehouse.transaction() as connection:
        bind_timezone(connection, "UTC", now=workspace.now)
    workspace.land_all(ACTIVITIES, still_open=date(2026, 4, 2))
    workspace.name(outbound='=1+1, "quoted"\n<script> \u202eRTL \U0001f600')
    workspace.build(*(name for name in TABLES if name in tables))
    return workspace


@pytest.fixture(scope="session")
def built_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "exported", built)


@dataclass(frozen=True)
class Written:
    """The files of an export, and the rows of each of its tables in the warehouse, as text."""

    folder: Path
    manifest: dict[str, Any]
    tables: dict[str, list[str]]

    def publish(self, target: Target, *, keep_last: bool = True) -> None:
        target.publish(self.folder, self.manifest, keep_last=keep_last)

    def only(self, *names: str) -> "Written":
        """Return the export as if the warehouse had only these tables."""
        tables = {name: table for name, table in self.manifest["tables"].items() if name in names}
        rows = {name: self.tables[name] for name in (name.partition(".")[2] for name in tables)}
        return Written(self.folder, {**self.manifest, "tables": tables}, rows)


def exported_twice(
    workspace: Workspace, folders: pytest.TempPathFactory, names: Collection[str]
) -> tuple[Written, Written]:
    """Export the workspace before and after the activity of the 2nd of April is removed."""
    written = []
    for number, name in enumerate(("before", "after")):
        folder = folders.mktemp(name)
        manifest = write_files(workspace.warehouse, folder, now=datetime(2026, 4, 2, 6 + number, 30, tzinfo=UTC))
        written.append(Written(folder, manifest, readers.expected(workspace, names)))
        workspace.land(date(2026, 4, 2), [])
    before, after = written
    assert len(before.tables["activities"]) == len(after.tables["activities"]) + 1
    return before, after


@pytest.fixture(scope="session")
def two_exports(built_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Written, Written]:
    """Exports of every table. Don't change them."""
    workspace = Workspace(str(shutil.copy(built_workspace, tmp_path_factory.mktemp("exported"))))
    return exported_twice(workspace, tmp_path_factory, readers.EXPORTED)


@pytest.fixture(scope="session")
def few_exports(tmp_path_factory: pytest.TempPathFactory) -> tuple[Written, Written]:
    """Exports of few tables, which are quicker to build and to publish. Don't change them."""
    workspace = built(tmp_path_factory.mktemp("workspace") / "topo.duckdb", made_of("sequence_steps"))
    before, after = exported_twice(workspace, tmp_path_factory, FEW)
    return before.only(*FEW), after.only(*FEW)


@pytest.fixture
def before(few_exports: tuple[Written, Written]) -> Written:
    return few_exports[0]


@pytest.fixture
def after(few_exports: tuple[Written, Written]) -> Written:
    return few_exports[1]


@pytest.fixture
def workspace(built_workspace: Path, tmp_path: Path) -> Workspace:
    """A workspace of two people and two months with every table built; the last day is open."""
    return Workspace(str(shutil.copy(built_workspace, tmp_path / "topo.duckdb")))
