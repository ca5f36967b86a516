"""One table as a file."""

import csv
import stat
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from topo_pipeline.exports import tables as exported_tables
from topo_pipeline.exports.tables import Format, export, tables
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline_tests.engagement.helpers import Workspace
from topo_pipeline_tests.exports.conftest import ACTIVITIES
from topo_pipeline_tests.limits import umask
from topo_pipeline_tests.special_files import look_of, special_files
from topo_pipeline_tests.warehouse.worker import leave_in_the_log


def test_a_csv_holds_every_row_and_a_name_that_is_hostile(world: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "it's \U0001f600.csv"
    rows = export(world.warehouse, "topo.sequence_templates", file, form="csv", raw=True)
    with file.open(encoding="utf-8", newline="") as opened:
        [row] = csv.DictReader(opened)
    assert rows == 1
    assert [(row["name"],)] == world.select("SELECT name FROM topo.sequence_templates")


def test_instants_are_in_utc_and_say_so(world: Workspace, tmp_path: Path) -> None:
    export(world.warehouse, "activities", tmp_path / "a.csv", form="csv")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as opened:
        assert next(csv.DictReader(opened))["created_at"] == "2026-03-01 09:00:00+00"


def test_parquet_holds_the_whole_table_with_payloads(world: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    assert export(world.warehouse, "topo.activities", file, form="parquet") == len(ACTIVITIES)
    with duckdb.connect() as connection:
        payloads = connection.read_parquet(str(file)).project("payload").fetchall()
    assert sorted(payloads) == sorted((activity.payload,) for activity in ACTIVITIES)


def test_ids_are_the_same_text_in_both_formats(world: Workspace, tmp_path: Path) -> None:
    for form in ("csv", "parquet"):
        export(world.warehouse, "activities", tmp_path / f"a.{form}", form=form)
    with duckdb.connect() as connection:
        in_parquet = connection.read_parquet(str(tmp_path / "a.parquet")).project("id, person_id").fetchall()
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as opened:
        in_csv = [(row["id"], row["person_id"] or None) for row in csv.DictReader(opened)]
    assert in_parquet == in_csv
    assert in_csv == world.select("SELECT id::VARCHAR, person_id::VARCHAR FROM topo.activities ORDER BY created_at, id")


HOSTILE = [
    *('=HYPERLINK("https://evil.example")', "@SUM(A1:A9)", "+1", "-1+cmd", "\t=1", "\r=1", "＝1", "a\x00b"),
    *("hello;=cmd|' /C calc'!A0", "a\n=1+1", "a\t=1", "\n-1", "a;@x;+1"),
    *("plain", "1 = 1", "'quoted"),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_spreadsheet_runs_no_cell_of_a_csv_unless_it_is_asked_for_raw(
    world: Workspace, tmp_path: Path, name: str
) -> None:
    world.name(outbound=name)
    shown = {}
    for raw in (False, True):
        export(world.warehouse, "topo.sequence_templates", tmp_path / "t.csv", form="csv", raw=raw)
        with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as opened:
            shown[raw] = [row["name"] for row in csv.DictReader(opened)]
    assert shown[True] == [name]
    [cell] = shown[False]
    parts = [part.lstrip("\t\r\n") for part in cell.replace(";", "\n").replace("\t", "\n").split("\n")]
    assert not any(part.startswith(tuple("=+-@＝＋－＠")) for part in parts)
    assert "\x00" not in cell
    assert cell.replace("'", "") == name.replace("\x00", "").replace("'", "")


def test_parquet_holds_a_name_as_it_is(world: Workspace, tmp_path: Path) -> None:
    world.name(outbound=HOSTILE[0])
    export(world.warehouse, "topo.sequence_templates", tmp_path / "t.parquet", form="parquet")
    with duckdb.connect() as connection:
        assert connection.read_parquet(str(tmp_path / "t.parquet")).project("name").fetchall() == [(HOSTILE[0],)]


@pytest.mark.parametrize(
    ("table", "column"),
    [("activities", "day"), ("sequence_daily", "day"), ("SEQUENCE_COHORTS", "cohort_day")],
)
def test_rows_of_earlier_days_are_left_out(world: Workspace, tmp_path: Path, table: str, column: str) -> None:
    since = date(2026, 3, 2)
    export(world.warehouse, table, tmp_path / "since.csv", form="csv", since=since)
    with (tmp_path / "since.csv").open(encoding="utf-8", newline="") as opened:
        days = sorted(row[column] for row in csv.DictReader(opened))
    schema = "topo" if table == "activities" else "engagement"
    whole = [day for (day,) in world.select(f"SELECT {column} FROM {schema}.{table}")]  # noqa: S608
    assert days == sorted(str(day) for day in whole if day >= since)
    assert 0 < len(days) < len(whole)


def test_a_table_without_days_says_so(world: Workspace, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="engagement.sequence_summary has no days"):
        export(world.warehouse, "sequence_summary", tmp_path / "s.csv", form="csv", since=date(2026, 3, 1))
    assert list(tmp_path.iterdir()) == [world.warehouse.path]


@pytest.mark.parametrize("name", ["nope", "topo.workspace", "topo.forgotten", "builds", "x; DROP TABLE topo.loads"])
def test_what_is_no_table_for_others_is_answered_with_those_that_are(
    world: Workspace, tmp_path: Path, name: str
) -> None:
    with pytest.raises(WarehouseError) as error:
        export(world.warehouse, name, tmp_path / "n.csv", form="csv")
    with world.warehouse.reader() as connection:
        assert all(table in str(error.value) for table in tables(connection))
    assert "\n" not in str(error.value)


def test_rows_are_sorted_by_what_tells_them_apart(world: Workspace, tmp_path: Path) -> None:
    export(world.warehouse, "sequence_daily", tmp_path / "d.csv", form="csv")
    with (tmp_path / "d.csv").open(encoding="utf-8", newline="") as opened:
        days = [row["day"] for row in csv.DictReader(opened)]
    assert days == sorted(days)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_warehouse_itself_is_never_written_over(world: Workspace, form: Format) -> None:
    with pytest.raises(WarehouseError, match="the warehouse itself"):
        export(world.warehouse, "topo.loads", world.warehouse.path, form=form)
    assert world.select("SELECT count(*) FROM topo.activities") == [(len(ACTIVITIES),)]


def test_a_file_that_is_there_is_replaced_only_by_a_whole_one(world: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "loads.csv"
    file.write_text("of last week")
    with pytest.raises(WarehouseError, match="no table"):
        export(world.warehouse, "nope", file, form="csv")
    assert file.read_text() == "of last week"
    assert export(world.warehouse, "topo.loads", file, form="csv") == 4
    assert len(file.read_text().splitlines()) == 5


def test_a_place_that_can_not_be_written_is_said_in_one_sentence(world: Workspace, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="No such file") as error:
        export(world.warehouse, "topo.loads", tmp_path / "nowhere" / "a.csv", form="csv")
    assert "\n" not in str(error.value)


def test_only_a_regular_file_is_replaced(world: Workspace, tmp_path: Path) -> None:
    special = special_files(tmp_path)
    before = look_of(special.values())
    for words, file in special.items():
        with pytest.raises(WarehouseError, match=words) as error:
            export(world.warehouse, "topo.loads", file, form="csv")
        assert str(file) in str(error.value)
        assert "\n" not in str(error.value)
    assert look_of(special.values()) == before


def test_a_link_that_somebody_planted_is_not_written_through(
    world: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands under the name at the last moment, when the table is written."""
    victim, file = tmp_path / "victim", tmp_path / "loads.csv"
    victim.write_text("precious")
    write = exported_tables.write

    def write_and_be_too_late(*values: Any, **named: Any) -> int:
        rows = write(*values, **named)
        file.symlink_to(victim)
        return rows

    monkeypatch.setattr(exported_tables, "write", write_and_be_too_late)
    with pytest.raises(WarehouseError, match="symbolic link"):
        export(world.warehouse, "topo.loads", file, form="csv")
    assert victim.read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {"victim", "loads.csv", world.warehouse.path.name}


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_the_mode_of_an_export_follows_the_umask(world: Workspace, tmp_path: Path, mask: int, mode: int) -> None:
    file = tmp_path / "loads.parquet"
    with umask(mask):
        export(world.warehouse, "topo.loads", file, form="parquet")
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_a_log_of_the_warehouse_is_never_written_over(world: Workspace) -> None:
    leave_in_the_log(
        world.target, "INSERT INTO topo.topo.rejects VALUES ('2026-03-01', 'in the log', 'x', now(), uuid())"
    )
    log = Path(f"{world.target}.wal")
    with pytest.raises(WarehouseError, match="the warehouse itself"):
        export(world.warehouse, "topo.loads", log, form="csv")
    assert world.select("SELECT raw FROM topo.rejects") == [("in the log",)]
