"""Erase a person: rows and tables in one transaction, then the bytes of the file, then the files next to it."""

import shutil
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from topo_pipeline.engagement.building import rebuild
from topo_pipeline.engagement.rules import Rules
from topo_pipeline.exports.parquet import export_all, is_exported
from topo_pipeline.maintenance.compaction import compact, require_compactable
from topo_pipeline.maintenance.inventory import written_files
from topo_pipeline.warehouse import erasure
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.erasure import NOTHING, ErasedSubjects, Trace
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.files import remove_leftovers
from topo_pipeline.warehouse.sql import reason_of
from topo_pipeline.warehouse.workspace import bind_timezone


@dataclass(frozen=True)
class ErasureResult:
    """The result of erasing a person."""

    trace: Trace  # the rows and runs erased from the warehouse
    cleaned: tuple[Path | str, ...] = ()  # files, folders and replaced warehouses that were cleaned or removed
    # Those that could not be cleaned, each with the reason. They may still hold the person's data.
    remaining: tuple[tuple[Path | str, str], ...] = ()


def trace(warehouse: Warehouse, person_id: uuid.UUID) -> Trace:
    """Count the rows about a person, before they are erased.

    Raises:
        WarehouseError: there is no warehouse, nothing was ever landed, or the id is not a person's.
    """
    if not warehouse.exists():
        raise WarehouseError(f"There is no warehouse at {warehouse.name}, so there is no person to erase.")
    warehouse.prepare()
    with warehouse.reader() as connection:
        return erasure.trace(connection, person_id)


def forget(
    warehouse: Warehouse,
    person_id: uuid.UUID,
    *,
    exports: Path,
    report: Path,
    timezone: str,
    rules: Rules,
    now: datetime,
) -> ErasureResult:
    """Erase a person from every place in the `inventory`. Running it again is safe and completes a failed erasure.

    Args:
        warehouse: The warehouse with the person's rows.
        person_id: Topo's id of the contact.
        exports: The folder of the Parquet export. If there is an export, it is written again.
        report: The file of the report, which the caller writes again.
        timezone: The reporting time zone (IANA), to rebuild the tables.
        rules: The rules, to rebuild the tables.
        now: Recorded as the time of the erasure.

    Raises:
        NotCompacted: the rows are deleted, but their bytes may still be on disk.
        WarehouseError: as `trace`; or the warehouse is in another time zone, or can't be written.
    """
    trace(warehouse, person_id)
    require_compactable(warehouse)
    with warehouse.transaction() as connection:
        bind_timezone(connection, timezone, now=now)
        erased = erasure.erase(connection, person_id, now=now)
        rebuild(connection, timezone=timezone, rules=rules, now=now)
        erased_subjects = erasure.erased_subjects(connection)
    compact(warehouse)
    why_not = _remove_folders(warehouse, exports, report)
    for copy in warehouse.replaced_copies():
        try:
            bring_up_to_date(copy, erased_subjects, timezone=timezone, rules=rules, now=now)
            compact(copy)
            why_not[copy.name] = None
        except (WarehouseError, duckdb.Error) as error:
            why_not[copy.name] = reason_of(error)
    if is_exported(exports):
        export_all(warehouse, exports, now=now, keep_last=False)
        why_not[exports] = None
    cleaned = tuple(path for path, reason in why_not.items() if reason is None)
    remaining = tuple((path, reason) for path, reason in why_not.items() if reason is not None)
    return ErasureResult(erased, cleaned, remaining)


def _remove_folders(warehouse: Warehouse, exports: Path, report: Path) -> dict[Path | str, str | None]:
    """Remove what killed processes and earlier versions left. Return why each remains, if it does."""
    left = [folder for file in written_files(warehouse, exports, report) for folder in remove_leftovers(file)]
    why_not: dict[Path | str, str | None] = {f: "it can't be removed" if f.exists() else None for f in left}
    if (folder := warehouse.place.old_spill_folder()) and folder.is_dir():
        with warehouse.exclusive():
            shutil.rmtree(folder)
        why_not[folder] = None
    return why_not


def bring_up_to_date(
    copy: Warehouse, erased_subjects: ErasedSubjects | None, *, timezone: str, rules: Rules, now: datetime
) -> Trace:
    """Migrate a copy of the warehouse to the current schema, and apply the warehouse's erasures to it.

    Returns:
        The number of rows and runs erased from the copy. Their bytes are still in its file.

    Raises:
        WarehouseError: the copy can't be read, or its erased subjects are hashed with another key.
    """
    erased = NOTHING
    with copy.transaction() as connection:
        bind_timezone(connection, timezone, now=now)
        if erased_subjects is not None:
            erased = erasure.apply_erasures(connection, erased_subjects, now=now)
        if erased != NOTHING:
            rebuild(connection, timezone=timezone, now=now, rules=rules)
    return erased
