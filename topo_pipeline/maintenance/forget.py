"""Forget a person for good: rows and tables in one transaction, then the file, then the files beside it."""

import shutil
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from topo_pipeline.engagement.rules import Rules
from topo_pipeline.engagement.tables import rebuild
from topo_pipeline.exports.parquet import export_all, is_exported
from topo_pipeline.maintenance.inventory import replaced_copies, spilled, written_files
from topo_pipeline.warehouse import forgetting
from topo_pipeline.warehouse.compaction import compact, require_compactable
from topo_pipeline.warehouse.connection import Warehouse, first_line
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.files import remove_left_aside
from topo_pipeline.warehouse.forgetting import NOTHING, Memory, Trace
from topo_pipeline.warehouse.workspace import keep_to_timezone


@dataclass(frozen=True)
class Forgotten:
    """What was done to forget a person.

    Attributes:
        trace: what there was of the person in the warehouse.
        cleaned: files and folders beside it that were cleaned or removed.
        remaining: files that could not be cleaned, each with the reason; they may still hold the person.
    """

    trace: Trace
    cleaned: tuple[Path, ...] = ()
    remaining: tuple[tuple[Path, str], ...] = ()


def trace(warehouse: Warehouse, person_id: uuid.UUID) -> Trace:
    """Say what there is of a person, before it is erased.

    Raises:
        WarehouseError: there is nothing to forget, or the id is not a person's.
    """
    if not warehouse.path.exists():
        raise WarehouseError(f"There is no warehouse at {warehouse.path}: there is nobody to forget.")
    warehouse.prepare()
    with warehouse.reader() as connection:
        return forgetting.trace(connection, person_id)


def forget(
    warehouse: Warehouse,
    person_id: uuid.UUID,
    *,
    exports: Path,
    report: Path,
    timezone: str,
    rules: Rules,
    now: datetime,
) -> Forgotten:
    """Erase a person from every place of the `inventory`; to do it again does no harm, and finishes what had failed.

    Args:
        warehouse: Whose landed rows and tables.
        person_id: Topo's id of the contact.
        exports: The folder of the Parquet export, which is written anew if it is there.
        report: The file of the report, which the caller writes anew.
        timezone: The reporting zone (IANA): the tables are built anew.
        rules: Those of the tables.
        now: Noted as the time of it.

    Raises:
        NotCompacted: the rows are gone, their bytes may not be.
        WarehouseError: as `trace`; or the warehouse is of another time zone, or can't be written.
    """
    trace(warehouse, person_id)
    require_compactable(warehouse)
    with warehouse.transaction() as connection:
        keep_to_timezone(connection, timezone, now=now)
        erased = forgetting.erase(connection, person_id, now=now)
        rebuild(connection, timezone=timezone, rules=rules, now=now)
        memory = forgetting.memory(connection)
    compact(warehouse)
    left = [folder for file in written_files(warehouse, exports, report) for folder in remove_left_aside(file)]
    cleaned = [folder for folder in left if not folder.exists()]
    remaining = [(folder, "it can't be removed") for folder in left if folder.exists()]
    if (folder := spilled(warehouse)).is_dir():
        with warehouse.exclusive():
            shutil.rmtree(folder)
        cleaned.append(folder)
    for copy in replaced_copies(warehouse):
        try:
            bring_up_to_date(Warehouse(str(copy)), memory, timezone=timezone, rules=rules, now=now)
            compact(Warehouse(str(copy)))
            cleaned.append(copy)
        except (WarehouseError, duckdb.Error) as error:
            remaining.append((copy, first_line(error)))
    if is_exported(exports):
        export_all(warehouse, exports, now=now, keep_last=False)
        cleaned.append(exports)
    return Forgotten(erased, tuple(cleaned), tuple(remaining))


def bring_up_to_date(copy: Warehouse, memory: Memory | None, *, timezone: str, rules: Rules, now: datetime) -> Trace:
    """Bring a copy of the warehouse up to date, and erase everybody whom the warehouse has forgotten (`memory`).

    Returns:
        What there was of those who had not been forgotten in the copy; their bytes are still in the file.

    Raises:
        WarehouseError: it can't be read, or has forgotten people under another key.
    """
    erased = NOTHING
    with copy.transaction() as connection:
        keep_to_timezone(connection, timezone, now=now)
        if memory is not None:
            erased = forgetting.erase_again(connection, memory, now=now)
        if erased != NOTHING:
            rebuild(connection, timezone=timezone, now=now, rules=rules)
    return erased
