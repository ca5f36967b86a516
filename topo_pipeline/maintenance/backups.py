"""Back up the warehouse while others use it, and restore a backup without bringing erased people back.

The order of steps belongs here. Elsewhere: finding a person's rows (`warehouse.erasure`), building tables
(`engagement.building`), replacing a file (`warehouse.files`).
"""

import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from topo_pipeline.engagement.rules import Rules
from topo_pipeline.maintenance import lake_backups
from topo_pipeline.maintenance.compaction import compact
from topo_pipeline.maintenance.copies import (
    About,
    Restored,
    about_of,
    erased_subjects_of,
    refuse_other_organization,
    reported,
    verify_rows,
)
from topo_pipeline.maintenance.forget import bring_up_to_date
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.erasure import NOTHING, ErasedSubjects
from topo_pipeline.warehouse.errors import WarehouseError, WarehouseInUse
from topo_pipeline.warehouse.files import PRIVATE, logs_of, put_in_place, put_new, remove_unused, sync, temporary_folder
from topo_pipeline.warehouse.migrate import schema_version
from topo_pipeline.warehouse.places import File, LocalLake, SharedLake
from topo_pipeline.warehouse.sql import reason_of

_BUFFER_SIZE = 16_000_000  # bytes


def backup(warehouse: Warehouse, file: Path) -> About:
    """Copy the warehouse, as it is at one moment, to `file`, and verify that every row of the copy can be read.

    Others can read the warehouse while it is copied, but have to wait to write. The backup gets mode 0600. That of a
    shared lake is a folder (`lake_backups`).

    Raises:
        WarehouseError: there is no warehouse, or it is a local lake; `file` exists or can't be written; or the copy
            can't be read. Nothing was written.
    """
    if os.path.lexists(file):
        raise WarehouseError(f"{file} already exists. Nothing was written. Choose another name for the backup.")
    if not file.parent.is_dir():
        raise WarehouseError(f"The folder {file.parent} does not exist. Run: mkdir -p {shlex.quote(str(file.parent))}")
    if isinstance(warehouse.place, SharedLake):
        return lake_backups.backup(warehouse, warehouse.place, file)
    source = _file_of(warehouse)
    failed = f"The backup {file} can't be written"
    remove_unused(file.parent, "copying")  # temporary_folder removes only folders for the same file name
    with reported(failed), temporary_folder(file, "copying") as aside:
        copy = aside / file.name
        with ExitStack() as held, warehouse.any_schema_reader() as connection:
            about = about_of(connection)
            _copy(source, copy, held)
        _apply_log(copy)
        _verify(copy, failed)
        put_new(copy, file)
    return about


def look(file: Path) -> About:
    """Return the organization and last day of a backup.

    Raises:
        WarehouseError: the file is not a backup, can't be read, or was written by a newer version.
    """
    if file.is_dir():
        return lake_backups.read(file).about
    if not file.is_file():
        raise WarehouseError(f"There is no backup {file}.")
    try:
        with Warehouse(str(file)).any_schema_reader() as connection:
            if not schema_version(connection):
                raise WarehouseError("it contains no topo-pipeline tables")
            return about_of(connection)
    except WarehouseInUse as error:
        raise WarehouseError(f"{file} can't be restored: {error}") from error
    except WarehouseError as error:
        reason = reason_of(error.__cause__) if isinstance(error.__cause__, duckdb.Error) else error
        raise WarehouseError(f"{file} can't be restored: {reason}") from error


def restore(
    warehouse: Warehouse,
    file: Path,
    *,
    timezone: str,
    rules: Rules,
    now: datetime,
    require_quiet: Callable[[], None] = lambda: None,
) -> Restored:
    """Replace the warehouse by a copy of a backup, from which the people erased since the backup are erased first.

    The warehouse is locked until the restore is done. A crash leaves the old warehouse or the restored one.

    Args:
        warehouse: The warehouse to replace. If it exists, it is kept next to the restored one, under another name.
        file: The backup. It is not changed.
        timezone: The reporting time zone (IANA).
        rules: The rules of the tables, which are rebuilt if anyone had to be erased.
        now: The time in the new name of the replaced warehouse.
        require_quiet: Called right before the warehouse is replaced, while it is locked. It raises if the warehouse may
            not be replaced now. Then nothing is changed.

    Raises:
        WarehouseError: the file is not a backup, can't be read, or belongs to another organization or time zone; the
            warehouse is in use; or the disk is full. The warehouse is unchanged.
    """
    if isinstance(warehouse.place, SharedLake):
        return lake_backups.restore(
            warehouse, warehouse.place, file, timezone=timezone, rules=rules, now=now, require_quiet=require_quiet
        )
    path = Path(os.path.realpath(_file_of(warehouse)))
    about = look(file)
    if file.is_dir():
        raise WarehouseError(f"{file} is a backup of a shared lake: set TOPO_WAREHOUSE to the lake to restore.")
    if path.exists() and file.samefile(path):
        raise WarehouseError(f"{file} is the warehouse itself.")
    failed = f"{file} can't be restored"
    with reported(failed), _locked(warehouse) as (current, erased_subjects):
        refuse_other_organization(current, about)
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(path, "restoring") as aside:
            copy = aside / path.name
            with ExitStack() as held:
                _copy(file, copy, held)
            copied = Warehouse(str(copy))
            erased = bring_up_to_date(copied, erased_subjects, timezone=timezone, rules=rules, now=now)
            if erased != NOTHING:
                compact(copied)
            _apply_log(copy)
            _verify(copy, failed)
            require_quiet()
            replaced = _put_in_place(copy, path, warehouse, now=now)
    return Restored(about, str(replaced) if replaced else None, erased, erasures_unknown=erased_subjects is None)


def require_supported(warehouse: Warehouse) -> None:
    """Raise a WarehouseError, which says how to copy it by hand, if the warehouse is a local lake."""
    if isinstance(warehouse.place, LocalLake):
        paths = shlex.join(map(str, (warehouse.place.path, warehouse.place.data)))
        raise WarehouseError(
            f"{warehouse.name} is a local lake, which can only be copied by hand, and restored to the same path. Run"
            f" this while nothing writes to it: cp -a {paths} FOLDER"
        )


def _file_of(warehouse: Warehouse) -> Path:
    require_supported(warehouse)
    if not isinstance(warehouse.place, File):
        raise TypeError(warehouse.name)
    return warehouse.place.path


def _copy(file: Path, to: Path, held: ExitStack) -> None:
    """Copy a DuckDB file and its log byte by byte, while the caller keeps writers out.

    The files are closed with `held`, which must happen after DuckDB's connection is closed: closing a file releases all
    locks that this process has on it. DuckDB's COPY FROM DATABASE takes twenty times as long, with writers waiting.
    """
    for path in (file, *logs_of(file)):
        source = held.enter_context(path.open("rb"))
        with Path(f"{to}{str(path).removeprefix(str(file))}").open("wb") as target:
            shutil.copyfileobj(source, target, _BUFFER_SIZE)


def _apply_log(copy: Path) -> None:
    """Move the commits of the log into the file, so that a single file can be renamed."""
    with Warehouse(str(copy)).exclusive() as connection:
        connection.execute("CHECKPOINT warehouse")


def _verify(copy: Path, failed: str) -> None:
    """Read every column of every row from the disk: DuckDB checks the checksum of a block when it reads the block."""
    sync(copy)
    with copy.open("rb") as file:  # drops it from the page cache
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    verify_rows(Warehouse(str(copy)), failed)


@contextmanager
def _locked(warehouse: Warehouse) -> Iterator[tuple[About, ErasedSubjects | None]]:
    """Lock the warehouse, if there is one, and yield its description and erased subjects, if they can be read."""
    with ExitStack() as held:
        current: tuple[About, ErasedSubjects | None] = About(None, None), None
        if warehouse.exists():
            try:
                connection = held.enter_context(warehouse.exclusive())
                connection.execute("CHECKPOINT warehouse")
                current = about_of(connection), erased_subjects_of(connection)
            except WarehouseInUse:
                raise
            except (WarehouseError, duckdb.Error):
                pass  # it is damaged, so no other process can use it. Restored.erasures_unknown reports it
        yield current


def _put_in_place(copy: Path, path: Path, warehouse: Warehouse, *, now: datetime) -> Path | None:
    """Rename the old warehouse and its logs, give the copy the warehouse's name, and return the old one's new path.

    If that fails or is interrupted, all files get their old names back.
    """
    kept = path.with_name(f"{path.name}.replaced-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
    exists = path.exists()
    # DuckDB would apply a remaining log to the copy. There is one only if the old file could not be opened.
    names = {
        log: f"{kept}{str(log).removeprefix(str(name))}"
        for name in (path, _file_of(warehouse))
        for log in logs_of(name)
    }
    try:
        if exists:
            kept.hardlink_to(path)
        for log, name in names.items():
            log.rename(name)
        if exists:
            put_in_place(copy, path, wait_seconds=warehouse.wait_seconds)
            kept.chmod(PRIVATE)
        else:
            put_new(copy, path)
    except BaseException:  # an interruption must put the warehouse back too
        if not path.exists() or (kept.exists() and kept.samefile(path)):
            for log, name in names.items():
                if not log.exists():
                    Path(name).rename(log)
            kept.unlink(missing_ok=True)
        raise
    return kept if exists else None
