"""Export all tables as a folder of Parquet files with a manifest, for BI tools that read while the pipeline writes.

Each export is a folder named by its time. Once it is complete on disk, one rename points the link `latest` to it. So a
crash leaves the previous export in place. Its readers still find it: each export stays until the next but one.

Payloads, change history and rejects are left out: no chart needs them, and they would be one more copy of what people
wrote.
"""

import json
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from topo_pipeline.exports.tables import Table, tables, write
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.files import locked, sync, temporary_folder
from topo_pipeline.warehouse.migrate import schema_version

LATEST = "latest"
MANIFEST = "manifest.json"
_ACTIVITIES = "topo.activities"
_LEFT_OUT = {"topo.activity_changes", "topo.rejects"}
Manifest = dict[str, Any]
_FORMAT = 1  # of the manifest
_NAME = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
_MONTHS = "SELECT DISTINCT date_trunc('month', day)::DATE FROM topo.activities ORDER BY ALL"
_ABOUT = """
SELECT
    (SELECT organization_id::VARCHAR FROM topo.workspace) AS organization_id,
    (SELECT timezone FROM topo.workspace) AS timezone,
    (max(day) FILTER (is_known) + 1)::TIMESTAMP
        AT TIME ZONE coalesce((SELECT timezone FROM topo.workspace), 'UTC') AS as_of,
    min(day) AS first_day,
    max(day) AS last_day
FROM landed_days
"""


@dataclass(frozen=True)
class Export:
    """A finished export: its folder, and the number of tables, files, rows and bytes."""

    folder: Path
    tables: int
    files: int
    rows: int
    bytes: int


def export_all(warehouse: Warehouse, root: Path, *, now: datetime, keep_last: bool = True) -> Export:
    """Export every table to a new folder below `root`, and point `root/latest` to it.

    Args:
        warehouse: The warehouse to read, as it is at one moment. Writers wait until the export is done.
        root: The folder of exports, created if missing. Exports older than the previous one are removed from it.
        now: The time of the export, used in the folder's name and the manifest.
        keep_last: Whether to keep the previous export for its readers. False after a person was erased.

    Raises:
        WarehouseError: there is no warehouse, or the folder can't be written. `latest` is unchanged.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _exclusive(root, warehouse.wait_seconds):
            latest = root / LATEST
            if os.path.lexists(latest) and not latest.is_symlink():
                raise WarehouseError(f"{latest} is not the link to the last export. Move it away and export again.")
            last = latest.resolve() if (latest / MANIFEST).is_file() else None
            with temporary_folder(latest, "writing") as aside:
                new = aside / "export"
                new.mkdir()  # follows the umask, unlike the private folder around it
                manifest = write_files(warehouse, new, now=now)
                done = _publish(new, root, now)
            kept = {done.name, last.name if last and keep_last else None}
            for folder in root.iterdir():
                if is_name(folder.name) and folder.name not in kept:
                    shutil.rmtree(folder)
    except OSError as error:
        raise WarehouseError(f"The export to {root} can't be written: {error}") from error
    return Export(done, **size_of(manifest))


def size_of(manifest: Manifest) -> dict[str, int]:
    """Return the number of tables, files, rows and bytes of an export."""
    files = [file for table in manifest["tables"].values() for file in table["files"]]
    rows, size = (sum(file[what] for file in files) for what in ("rows", "bytes"))
    return {"tables": len(manifest["tables"]), "files": len(files), "rows": rows, "bytes": size}


def is_exported(root: Path) -> bool:
    """Return whether this folder has an export, or parts of one."""
    return root.is_dir() and any(path.name == LATEST or is_name(path.name) for path in root.iterdir())


@contextmanager
def _exclusive(root: Path, wait_seconds: float) -> Iterator[None]:
    """Lock the folder, waiting until no other process exports to it."""
    with ExitStack() as held:
        with suppress(OSError):  # not every file system has locks
            held.enter_context(locked(root, wait_seconds=wait_seconds))
        yield


def write_files(warehouse: Warehouse, aside: Path, *, now: datetime) -> Manifest:
    """Write the files and the manifest of an export to an empty folder, and return the manifest.

    Raises:
        WarehouseError: there is no warehouse, or the files can't be written.
    """
    with warehouse.reader() as connection:
        found = {name: table for name, table in tables(connection).items() if name not in _LEFT_OUT}
        activities = found[_ACTIVITIES]
        written = {
            name: [_write_file(connection, table, aside, f"{name.replace('.', '/')}.parquet")]
            for name, table in found.items()
            if name != _ACTIVITIES
        }
        written[_ACTIVITIES] = _write_activities(connection, activities, aside)
        manifest = _manifest(connection, found, written, now)
    (aside / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
    for path in (*aside.rglob("*"), aside):
        sync(path)
    return manifest


def _write_activities(connection: DuckDBPyConnection, table: Table, aside: Path) -> list[dict[str, Any]]:
    """Write the activities by month of the reporting day."""
    return [
        _write_file(
            connection, table, aside, f"topo/activities/{month:%Y-%m}.parquet", without="payload",
            where="day BETWEEN $month AND last_day($month)", values={"month": month},
        )
        for (month,) in connection.execute(_MONTHS).fetchall()
    ]  # fmt: skip


def _write_file(connection: DuckDBPyConnection, table: Table, aside: Path, path: str, **options: Any) -> dict[str, Any]:
    """Write a table or a part of it to a file of the export, and return what the manifest says about the file."""
    file = aside / path
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = write(connection, table, file, form="parquet", **options)
    return {"path": path, "rows": rows, "bytes": file.stat().st_size}


def _columns(table: Table) -> list[dict[str, Any]]:
    return [asdict(column) for column in table.columns if (table.name, column.name) != (_ACTIVITIES, "payload")]


def _manifest(
    connection: DuckDBPyConnection, found: dict[str, Table], written: dict[str, list[dict[str, Any]]], now: datetime
) -> Manifest:
    """Return the manifest: the organization, the days covered, and the files and column comments of each table."""
    about = connection.execute(_ABOUT)
    names = [column[0] for column in about.description or ()]
    [values] = about.fetchall()
    return {
        "format": _FORMAT,
        "written_at": now.astimezone(UTC).isoformat(),
        **dict(zip(names, (v.isoformat() if isinstance(v, date) else v for v in values), strict=True)),
        "schema_version": schema_version(connection),
        "tables": {
            name: {
                "comment": table.comment,
                "rows": sum(file["rows"] for file in written[name]),
                "files": written[name],
                "columns": _columns(table),
            }
            for name, table in found.items()
        },
    }


def _publish(aside: Path, root: Path, now: datetime) -> Path:
    """Rename the export to its final name, and point the link `latest` to it in one rename."""
    done = root / unused_name({path.name for path in root.iterdir()}, now)
    aside.rename(done)
    link = aside.with_name(LATEST)
    link.symlink_to(done.name)
    link.replace(root / LATEST)
    sync(root)
    return done


def unused_name(taken: Collection[str], now: datetime) -> str:
    """Return a name for a new export that is not taken: its time, and a number if needed."""
    stem = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    names = chain([stem], (f"{stem}-{number}" for number in count(2)))
    return next(name for name in names if name not in taken)


def is_name(name: str) -> bool:
    """Return whether an export can have this name."""
    return bool(_NAME.fullmatch(name))
