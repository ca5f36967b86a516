"""Back up a shared lake to a folder, and restore it. It has a dump of the catalog and the data files.

The order of steps belongs here. Elsewhere: Postgres' programs (`warehouse.places.dump`), and DuckDB files (`backups`).
"""

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.engagement.rules import Rules
from topo_pipeline.maintenance import copies
from topo_pipeline.maintenance.compaction import compact
from topo_pipeline.maintenance.copies import About, Restored, about_of, reported, verify_rows
from topo_pipeline.maintenance.forget import bring_up_to_date
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.erasure import ErasedSubjects
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.files import remove_unused, sync, temporary_folder
from topo_pipeline.warehouse.places import SharedLake
from topo_pipeline.warehouse.sql import literal

_MANIFEST, _CATALOG, _FILES = "backup.json", "catalog.dump", "files"


@dataclass(frozen=True)
class Backup:
    """The content of a backup's manifest, which is written last."""

    about: About
    schema: str  # the name of the catalog's schema in the dump
    files: dict[str, tuple[int, str]]  # size in bytes and SHA-256 of each file, by its path in the backup


def backup(warehouse: Warehouse, place: SharedLake, folder: Path) -> About:
    """Copy a shared lake, as it is at one moment, to the new folder `folder`, and verify that every file can be read.

    Writers wait while the catalog is dumped, and not while the files are copied: those never change.

    Raises:
        WarehouseError: as `backups.backup`; or pg_dump is missing or too old; or a file was removed while it was
            copied, as an erasure does. Nothing was written.
    """
    failed = f"The backup {folder} can't be written"
    remove_unused(folder.parent, "copying")
    with reported(failed), temporary_folder(folder, "copying") as aside, warehouse.any_schema_reader() as connection:
        copy = aside / folder.name
        copy.mkdir(mode=0o700)
        with place.write_lock(warehouse.wait_seconds) as lock:
            about = about_of(connection)
            named = place.named_files(connection)
            place.dump(copy / _CATALOG)
            lock.require()
        for name, size in named.items():
            _download(connection, place, name, copy / _FILES / name, size)
        _write_manifest(copy, Backup(about, place.storage.schema, _digests(copy)))
        if os.path.lexists(folder):
            raise FileExistsError(None, f"{folder} already exists")
        copy.rename(folder)
        sync(folder.parent)
    return about


def _download(connection: DuckDBPyConnection, place: SharedLake, name: str, file: Path, size: int) -> None:
    """Copy a file of the lake, and read every column of every row of the copy."""
    place.download(connection, name, file)
    if (copied := file.stat().st_size) != size:  # DuckDB reads a file that does not exist as nothing
        raise WarehouseError(
            f"The lake's file {name} has {copied} bytes instead of {size}. If an erasure has just removed it, run the"
            " command again."
        )
    source = f"read_parquet({literal(str(file))}, hive_partitioning => false)"
    connection.execute(f"SELECT count(*), bit_xor(hash(it)) FROM {source} AS it").fetchall()  # noqa: S608


def _digests(folder: Path) -> dict[str, tuple[int, str]]:
    """Return the size and SHA-256 of every file in a folder, after flushing it to the disk."""
    found = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        sync(file)
        found[file.relative_to(folder).as_posix()] = (file.stat().st_size, _digest(file))
    return found


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _write_manifest(folder: Path, made: Backup) -> None:
    organization, last_day = made.about.organization_id, made.about.last_day
    content = {
        "organization_id": str(organization) if organization else None,
        "last_day": str(last_day) if last_day else None,
        "schema": made.schema,
        "files": made.files,
    }
    manifest = folder / _MANIFEST
    manifest.write_text(json.dumps(content, indent=1), encoding="utf-8")
    sync(manifest)


def read(folder: Path) -> Backup:
    """Return the content of a backup's manifest, after checking that no file is missing or truncated.

    Raises:
        WarehouseError: the folder is not a complete backup of a shared lake.
    """
    try:
        found = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        organization, last_day = found["organization_id"], found["last_day"]
        about = About(
            uuid.UUID(organization) if organization else None, date.fromisoformat(last_day) if last_day else None
        )
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in found["files"].items()}
        made = Backup(about, str(found["schema"]), files)
    except FileNotFoundError:
        raise WarehouseError(f"There is no backup of a shared lake in {folder}: it has no {_MANIFEST}.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WarehouseError(f"{folder} can't be restored: its {_MANIFEST} can't be read.") from error
    sizes = {name: (folder / name).stat().st_size if (folder / name).is_file() else None for name in files}
    if wrong := [name for name, size in sizes.items() if size != files[name][0]]:
        raise WarehouseError(
            f"{folder} can't be restored: {len(wrong)} of its {len(files)} files are missing or have another size,"
            f" the first is {wrong[0]}."
        )
    return made


def restore(
    warehouse: Warehouse,
    place: SharedLake,
    folder: Path,
    *,
    timezone: str,
    rules: Rules,
    now: datetime,
    require_quiet: Callable[[], None],
) -> Restored:
    """Replace a shared lake by a backup, as `backups.restore` does with a file.

    The backup is loaded into a schema and a folder of its own. At the end, one transaction gives the schema the name of
    the lake's. Readers can read the old lake until then.
    """
    failed = f"{folder} can't be restored"
    if folder.is_file():
        raise WarehouseError(f"{failed}: it is a file, and the backup of a shared lake is a folder.")
    made = read(folder)
    with reported(failed), place.write_lock(warehouse.wait_seconds) as lock:
        current, erased_subjects = _current(warehouse)
        copies.refuse_other_organization(current, made.about)
        with _restoring(warehouse, place) as copy:
            _load(copy, place, folder, made)
            erased = bring_up_to_date(copy, erased_subjects, timezone=timezone, rules=rules, now=now)
            compact(copy)  # the older snapshots name files that are not in the backup
            verify_rows(copy, failed)
            require_quiet()
            replaced = place.put_in_place(lock, now=now, wait_seconds=warehouse.wait_seconds)
    return Restored(made.about, replaced, erased, erasures_unknown=erased_subjects is None)


def _current(warehouse: Warehouse) -> tuple[About, ErasedSubjects | None]:
    """Return the description and the erased subjects of the lake that is replaced, if they can be read."""
    with suppress(WarehouseError, duckdb.Error), warehouse.any_schema_reader() as connection:
        return about_of(connection), copies.erased_subjects_of(connection)
    return About(None, None), None  # there is no lake, or its files are gone. Restored.erasures_unknown reports it


@contextmanager
def _restoring(warehouse: Warehouse, place: SharedLake) -> Iterator[Warehouse]:
    """Yield the warehouse to prepare. It does not exist yet, and is removed if it does not replace the lake."""
    copy = Warehouse(warehouse.target, warehouse.wait_seconds, place.restoring())
    _discard(copy)  # what a killed restore has left
    try:
        yield copy
    except BaseException:
        with suppress(WarehouseError, duckdb.Error, OSError):  # the next restore removes it
            _discard(copy)
        raise


def _discard(copy: Warehouse) -> None:
    if copy.exists():
        with copy.exclusive() as connection:
            _lake(copy).discard(connection)


def _load(copy: Warehouse, place: SharedLake, folder: Path, made: Backup) -> None:
    for name, (_, digest) in made.files.items():
        if _digest(folder / name) != digest:
            raise WarehouseError(f"{folder} can't be restored: its file {name} is damaged, a checksum does not match.")
    _lake(copy).load(folder / _CATALOG, dumped=made.schema, folder_of=place)
    with copy.exclusive() as connection:
        for name in made.files:
            if name.startswith(f"{_FILES}/"):
                _lake(copy).upload(connection, name.removeprefix(f"{_FILES}/"), folder / name)


def _lake(copy: Warehouse) -> SharedLake:
    if not isinstance(copy.place, SharedLake):
        raise TypeError(copy.name)
    return copy.place
