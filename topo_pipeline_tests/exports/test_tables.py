"""One table as a CSV or Parquet file."""

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
from topo_pipeline_tests.special_files import fingerprints, special_files
from topo_pipeline_tests.warehouse.builders import path_of
from topo_pipeline_tests.warehouse.worker import leave_in_the_log


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_a_raw_csv_has_every_row_and_unchanged_names(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "it's \U0001f600.csv"
    rows = export(workspace.warehouse, "topo.sequence_templates", file, form="csv", raw=True)
    [row] = rows_of(file)
    assert rows == 1
    assert [(row["name"],)] == workspace.select("SELECT name FROM topo.sequence_templates")


def test_timestamps_in_a_csv_have_a_utc_offset(workspace: Workspace, tmp_path: Path) -> None:
    export(workspace.warehouse, "activities", tmp_path / "a.csv", form="csv")
    assert rows_of(tmp_path / "a.csv")[0]["created_at"] == "2026-03-01 09:00:00+00"


def test_parquet_has_the_whole_table_with_payloads(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    assert export(workspace.warehouse, "topo.activities", file, form="parquet") == len(ACTIVITIES)
    with duckdb.connect() as connection:
        payloads = connection.read_parquet(str(file)).project("payload").fetchall()
    assert sorted(payloads) == sorted((activity.payload,) for activity in ACTIVITIES)


def test_ids_are_the_same_text_in_both_formats(workspace: Workspace, tmp_path: Path) -> None:
    for form in ("csv", "parquet"):
        export(workspace.warehouse, "activities", tmp_path / f"a.{form}", form=form)
    with duckdb.connect() as connection:
        in_parquet = connection.read_parquet(str(tmp_path / "a.parquet")).project("id, person_id").fetchall()
    in_csv = [(row["id"], row["person_id"] or None) for row in rows_of(tmp_path / "a.csv")]
    assert in_parquet == in_csv
    assert in_csv == workspace.select(
        "SELECT id::VARCHAR, person_id::VARCHAR FROM topo.activities ORDER BY created_at, id"
    )


HOSTILE = [
    *('=HYPERLINK("https://evil.example")', "@SUM(A1:A9)", "+1", "-1+cmd", "\t=1", "\r=1", "＝1", "a\x00b"),
    *("hello;=cmd|' /C calc'!A0", "a\n=1+1", "a\t=1", "\n-1", "a;@x;+1"),
    *("plain", "1 = 1", "'quoted"),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_csv_escapes_formulas_unless_raw(workspace: Workspace, tmp_path: Path, name: str) -> None:
    workspace.name(outbound=name)
    shown = {}
    for raw in (False, True):
        export(workspace.warehouse, "topo.sequence_templates", tmp_path / "t.csv", form="csv", raw=raw)
        shown[raw] = [row["name"] for row in rows_of(tmp_path / "t.csv")]
    assert shown[True] == [name]
    [cell] = shown[False]
    parts = [part.lstrip("\t\r\n") for part in cell.replace(";", "\n").replace("\t", "\n").split("\n")]
    assert not any(part.startswith(tuple("=+-@＝＋－＠")) for part in parts)
    assert "\x00" not in cell
    assert cell.replace("'", "") == name.replace("\x00", "").replace("'", "")


def test_parquet_does_not_escape_names(workspace: Workspace, tmp_path: Path) -> None:
    workspace.name(outbound=HOSTILE[0])
    export(workspace.warehouse, "topo.sequence_templates", tmp_path / "t.parquet", form="parquet")
    with duckdb.connect() as connection:
        assert connection.read_parquet(str(tmp_path / "t.parquet")).project("name").fetchall() == [(HOSTILE[0],)]


@pytest.mark.parametrize(
    ("table", "column"),
    [("activities", "day"), ("sequence_daily", "day"), ("SEQUENCE_COHORTS", "cohort_day")],
)
def test_since_leaves_out_earlier_days(workspace: Workspace, tmp_path: Path, table: str, column: str) -> None:
    since = date(2026, 3, 2)
    export(workspace.warehouse, table, tmp_path / "since.csv", form="csv", since=since)
    days = sorted(row[column] for row in rows_of(tmp_path / "since.csv"))
    schema = "topo" if table == "activities" else "engagement"
    whole = [day for (day,) in workspace.select(f"SELECT {column} FROM {schema}.{table}")]  # noqa: S608
    assert days == sorted(str(day) for day in whole if day >= since)
    assert 0 < len(days) < len(whole)


def test_since_is_refused_for_a_table_without_days(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="engagement.sequence_summary has no days"):
        export(workspace.warehouse, "sequence_summary", tmp_path / "s.csv", form="csv", since=date(2026, 3, 1))
    assert list(tmp_path.iterdir()) == [path_of(workspace.warehouse)]


@pytest.mark.parametrize("name", ["nope", "topo.workspace", "topo.forgotten", "builds", "x; DROP TABLE topo.loads"])
def test_an_unknown_or_internal_table_is_an_error_that_names_similar_tables_or_all(
    workspace: Workspace, tmp_path: Path, name: str
) -> None:
    with pytest.raises(WarehouseError) as error:
        export(workspace.warehouse, name, tmp_path / "n.csv", form="csv")
    with workspace.warehouse.reader() as connection:
        known = [*tables(connection)]
    named = [table for table in known if table in str(error.value)]
    assert named if "Did you mean" in str(error.value) else named == known
    assert "\n" not in str(error.value)


def test_rows_are_sorted_by_key(workspace: Workspace, tmp_path: Path) -> None:
    export(workspace.warehouse, "sequence_daily", tmp_path / "d.csv", form="csv")
    days = [row["day"] for row in rows_of(tmp_path / "d.csv")]
    assert days == sorted(days)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_an_export_never_overwrites_the_warehouse(workspace: Workspace, form: Format) -> None:
    with pytest.raises(WarehouseError, match="the warehouse itself"):
        export(workspace.warehouse, "topo.loads", path_of(workspace.warehouse), form=form)
    assert workspace.select("SELECT count(*) FROM topo.activities") == [(len(ACTIVITIES),)]


def test_an_existing_file_is_replaced_only_by_a_complete_export(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "loads.csv"
    file.write_text("of last week")
    with pytest.raises(WarehouseError, match="no table"):
        export(workspace.warehouse, "nope", file, form="csv")
    assert file.read_text() == "of last week"
    assert export(workspace.warehouse, "topo.loads", file, form="csv") == 4
    assert len(file.read_text().splitlines()) == 5


def test_a_missing_folder_is_a_one_line_error(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="there is no folder") as error:
        export(workspace.warehouse, "topo.loads", tmp_path / "nowhere" / "a.csv", form="csv")
    assert "\n" not in str(error.value)


def test_only_regular_files_are_replaced(workspace: Workspace, tmp_path: Path) -> None:
    special = special_files(tmp_path)
    before = fingerprints(special.values())
    for words, file in special.items():
        with pytest.raises(WarehouseError, match=words) as error:
            export(workspace.warehouse, "topo.loads", file, form="csv")
        assert str(file) in str(error.value)
        assert "\n" not in str(error.value)
    assert fingerprints(special.values()) == before


def test_a_link_that_appears_during_the_export_is_not_followed(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link appears after the table was written and before the file is put in place."""
    victim, file = tmp_path / "victim", tmp_path / "loads.csv"
    victim.write_text("precious")
    write = exported_tables.write

    def write_then_link(*values: Any, **named: Any) -> int:
        rows = write(*values, **named)
        file.symlink_to(victim)
        return rows

    monkeypatch.setattr(exported_tables, "write", write_then_link)
    with pytest.raises(WarehouseError, match="symbolic link"):
        export(workspace.warehouse, "topo.loads", file, form="csv")
    assert victim.read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {"victim", "loads.csv", path_of(workspace.warehouse).name}


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_the_mode_of_an_export_follows_the_umask(workspace: Workspace, tmp_path: Path, mask: int, mode: int) -> None:
    file = tmp_path / "loads.parquet"
    with umask(mask):
        export(workspace.warehouse, "topo.loads", file, form="parquet")
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_an_export_never_overwrites_the_warehouses_log(workspace: Workspace) -> None:
    leave_in_the_log(
        workspace.target, "INSERT INTO topo.topo.rejects VALUES ('2026-03-01', 'in the log', 'x', now(), uuid())"
    )
    log = Path(f"{workspace.target}.wal")
    with pytest.raises(WarehouseError, match="the warehouse itself"):
        export(workspace.warehouse, "topo.loads", log, form="csv")
    assert workspace.select("SELECT raw FROM topo.rejects") == [("in the log",)]
