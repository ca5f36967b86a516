"""After a person is erased, every table is as if the person had never existed."""

import shutil
import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from topo_pipeline.engagement.rules import DEFAULT_RULES, Rules
from topo_pipeline.maintenance.forget import forget
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.erasure import Trace
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.workspace import bind_timezone
from topo_pipeline_tests.engagement.helpers import (
    KEPT,
    TABLES,
    Activity,
    Workspace,
    canonical,
    drop_all_but,
    enrolled,
    march,
    opened,
    replied,
    sent,
    uid,
)
from topo_pipeline_tests.warehouse.builders import path_of

ADA, BOB = {"run": "A", "person": "Ada"}, {"run": "B", "person": "Bob"}
HERS = [
    enrolled(march(1), **ADA),
    sent(march(1, 10), **ADA),
    opened(march(2), **ADA),
    replied(march(3), **ADA),
    sent(march(3), run="C", sequence="nurture", person="Ada"),
    Activity("sequence.completed", march(4), run="A", person=None),
]
HIS = [
    enrolled(march(1, 8), **BOB),
    sent(march(1, 11), **BOB),
    replied(march(3, 12), **BOB),
    sent(march(4), run="D", person=None),
]
ERASED_AT = datetime(2026, 6, 2, tzinfo=UTC)
QUIET = [date(2026, 3, day) for day in range(1, 6)]


def workspace_of(folder: Path, activities: Iterable[Activity], prefix: str = "") -> Workspace:
    return workspace_in(f"{prefix}{folder / 'topo.duckdb'}", activities)


def workspace_in(target: str, activities: Iterable[Activity]) -> Workspace:
    workspace = Workspace(target)
    with workspace.warehouse.transaction() as connection:
        bind_timezone(connection, "UTC", now=workspace.now)
    workspace.land_all(activities, *QUIET)
    workspace.build(*TABLES)
    return workspace


@pytest.fixture(params=["file", pytest.param("lake", marks=pytest.mark.full)])
def workspace(request: pytest.FixtureRequest, built: Path, tmp_path: Path) -> Workspace:
    """A workspace of Ada and Bob with every table built."""
    if request.param == "lake":
        return workspace_of(tmp_path, [*HERS, *HIS], "ducklake:")
    return Workspace(str(shutil.copy(built, tmp_path)))


def forget_from(
    warehouse: Warehouse,
    person: uuid.UUID,
    *,
    timezone: str = "UTC",
    rules: Rules = DEFAULT_RULES,
    now: datetime = ERASED_AT,
) -> Trace:
    """Erase a person; exports and the report are next to the warehouse."""
    published = path_of(warehouse).parent / "report"
    how = {"exports": published / "parquet", "report": published / "report.html"}
    return forget(warehouse, person, timezone=timezone, rules=rules, now=now, **how).trace


def forget_ada(workspace: Workspace) -> Trace:
    return forget_from(workspace.warehouse, uuid.UUID(uid("Ada")))


def comparable(tables: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return the tables in a comparable form: the last digit of a square root may differ between builds."""
    return {name: canonical(rows) for name, rows in tables.items()}


@pytest.fixture(scope="module")
def without_ada(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The tables of a workspace without Ada."""
    return comparable(workspace_of(tmp_path_factory.mktemp("without"), HIS).all_rows())


def test_the_tables_are_as_if_the_person_had_never_existed(
    workspace: Workspace, without_ada: dict[str, list[dict[str, Any]]]
) -> None:
    assert forget_ada(workspace) == Trace(activities=len(HERS), changes=0, rejects=0, runs=2)
    assert comparable(workspace.all_rows()) == without_ada


def test_a_person_can_be_erased_from_a_lake(tmp_path: Path) -> None:
    lake = Workspace(f"ducklake:{tmp_path / 'topo.duckdb'}")
    lake.land_all([*HERS[:2], *HIS[:2]])  # a day
    lake.build("sequence_runs")
    assert forget_ada(lake) == Trace(activities=2, changes=0, rejects=0, runs=1)
    assert {row["sequence_id"] for row in lake.rows("sequence_runs")} == {uid("B")}
    assert bytes_in(tmp_path, uid("Ada")) == set()


def test_the_tables_are_built_with_the_current_rules(workspace: Workspace) -> None:
    workspace.land(march(4).date(), [replied(march(4), category="REFERRAL", **BOB)])
    rules = Rules(positive_replies=("REFERRAL",), neutral_replies=())
    drop_all_but(workspace.warehouse, "sequence_summary")
    forget_from(workspace.warehouse, uuid.UUID(uid("Ada")), rules=rules)
    assert workspace.summary()["unique_positive_replies"] == 1


def test_missing_tables_are_built_only_if_other_tables_read_them(
    workspace: Workspace, without_ada: dict[str, list[dict[str, Any]]]
) -> None:
    drop_all_but(workspace.warehouse, "sequence_summary")  # sequence_steps is gone too
    with workspace.warehouse.transaction() as connection:
        connection.execute("DROP TABLE engagement.sequence_cohorts")
    forget_ada(workspace)
    left = {
        name for (name,) in workspace.select("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'engagement'")
    }
    assert "sequence_cohorts" in left  # the summary reads it
    assert "sequence_steps" not in left  # nothing reads it
    assert canonical(workspace.rows("sequence_summary")) == without_ada["sequence_summary"]


def test_later_loads_and_builds_do_not_bring_the_person_back(
    workspace: Workspace, without_ada: dict[str, list[dict[str, Any]]]
) -> None:
    drop_all_but(workspace.warehouse, "sequence_summary")
    forget_ada(workspace)
    workspace.land_all([*HERS, *HIS], *QUIET)
    workspace.build()
    for name in (*KEPT, "sequence_summary"):
        assert canonical(workspace.rows(name)) == without_ada[name], name
    assert workspace.select("SELECT sum(suppressed) FROM landed_days") == [(len(HERS),)]


def test_the_tables_of_an_erased_person_are_rebuilt_with_every_landed_day(workspace: Workspace) -> None:
    drop_all_but(workspace.warehouse, "sequence_activity")
    workspace.land(date(2026, 3, 9), [sent(march(9), **BOB)])  # landed, and not yet built
    forget_ada(workspace)
    assert max(row["day"] for row in workspace.rows("sequence_activity")) == date(2026, 3, 9)


def test_no_file_contains_the_person_and_the_tables_keep_their_comments(workspace: Workspace, tmp_path: Path) -> None:
    comments = (
        "SELECT schema_name, table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
    )
    drop_all_but(workspace.warehouse, "sequence_daily")
    before = workspace.select(comments)
    hers = (uid("Ada"), uid("A"), uid("C"), *(activity.id for activity in HERS))
    for there in hers:
        assert person_bytes(there) & bytes_in(tmp_path, there)
    forget_ada(workspace)
    for gone in hers:
        assert bytes_in(tmp_path, gone) == set()
    assert workspace.select(comments) == before


def person_bytes(id_: str) -> set[bytes]:
    """Return an id as text, and as DuckDB stores it: 128 bits, little-endian, with the first bit flipped."""
    stored = (uuid.UUID(id_).int ^ (1 << 127)).to_bytes(16, "little")
    return {id_.encode(), id_.upper().encode(), uuid.UUID(id_).hex.encode(), uuid.UUID(id_).bytes, stored}


def bytes_in(folder: Path, id_: str) -> set[bytes]:
    """Return the encodings of an id that appear in any file in the folder."""
    contents = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return {encoding for encoding in person_bytes(id_) if any(encoding in content for content in contents)}


def test_without_a_warehouse_forget_is_an_error_and_creates_none(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "none.duckdb"))
    with pytest.raises(WarehouseError, match="no warehouse"):
        forget_from(warehouse, uuid.uuid4())
    assert not path_of(warehouse).exists()


def test_another_time_zone_is_refused_and_nothing_is_erased(workspace: Workspace) -> None:
    with pytest.raises(WarehouseError, match="TOPO_TIMEZONE=UTC"):
        forget_from(workspace.warehouse, uuid.UUID(uid("Ada")), timezone="Europe/Paris")
    assert workspace.select("SELECT count(*) FROM topo.activities") == [(len(HERS) + len(HIS),)]
