"""A copy of the warehouse while others work, and back; in between, nobody who was forgotten comes back with it.

What belongs here: the order of things. What does not: how people are found (`warehouse.forgetting`), how tables are
built (`engagement.tables`), how a file gets another's name (`warehouse.files`).
"""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.engagement.rules import Rules
from topo_pipeline.maintenance.forget import bring_up_to_date
from topo_pipeline.warehouse import forgetting
from topo_pipeline.warehouse.catalogue import tables_of
from topo_pipeline.warehouse.compaction import compact
from topo_pipeline.warehouse.connection import Warehouse, first_line, identifier
from topo_pipeline.warehouse.errors import WarehouseError, WarehouseInUse
from topo_pipeline.warehouse.files import PRIVATE, folder_aside, logs_of, put_in_place, put_new, remove_unused, sync
from topo_pipeline.warehouse.forgetting import NOTHING, Memory, Trace
from topo_pipeline.warehouse.migrate import schema_version

_AT_ONCE = 16_000_000  # bytes


@dataclass(frozen=True)
class About:
    """What a warehouse says of itself: whose it is (None: nothing landed), and its last landed day."""

    organization_id: uuid.UUID | None
    last_day: date | None


@dataclass(frozen=True)
class _Known:
    """What is to be kept of a warehouse that is replaced; of one that can't be read, nothing."""

    about: About = About(None, None)
    memory: Memory | None = None
    is_readable: bool = False


@dataclass(frozen=True)
class Restored:
    """What a restore came to.

    Attributes:
        about: what is in place now.
        replaced: where the warehouse that was there is now; None where there was none.
        erased: what the backup still held of people who were forgotten since.
        forgot_nobody: whether there was no warehouse, or none that could be read: whom it had forgotten is not known.
    """

    about: About
    replaced: Path | None
    erased: Trace
    forgot_nobody: bool


def backup(warehouse: Warehouse, file: Path) -> About:
    """Copy the warehouse, as it is at one moment, to `file`, and read the copy through.

    Meanwhile others read the warehouse, and wait with writing until it is copied. The backup is private.

    Raises:
        WarehouseError: there is no warehouse, or it is a lake; `file` is there already, or can't be written; the copy
            can't be read. Nothing was written.
    """
    _refuse_lake(warehouse)
    if os.path.lexists(file):
        raise WarehouseError(f"{file} is there already: nothing was written. Give the backup another name.")
    failed = f"The backup {file} can't be written"
    remove_unused(file.parent, "copying")  # of killed processes: a backup has another name each time
    with _told(failed), folder_aside(file, "copying") as aside:
        copy = Warehouse(str(aside / file.name))
        with ExitStack() as held, warehouse.as_it_is() as connection:
            about = _about(connection)
            _copy(warehouse.path, copy.path, held)
        _take_in_logs(copy)
        _read_through(copy, failed)
        put_new(copy.path, file)
    return about


def look(file: Path) -> About:
    """Say whose backup it is, and up to when.

    Raises:
        WarehouseError: it is none, or was made by a newer version.
    """
    if not file.is_file():
        raise WarehouseError(f"There is no backup {file}.")
    try:
        with Warehouse(str(file)).as_it_is() as connection:
            if not schema_version(connection):
                raise WarehouseError("nothing in it is topo-pipeline's")
            return _about(connection)
    except WarehouseError as error:
        raise WarehouseError(f"{file} can't be restored: {error}") from error


def restore(
    warehouse: Warehouse,
    file: Path,
    *,
    timezone: str,
    rules: Rules,
    now: datetime,
    require_quiet: Callable[[], None] = lambda: None,
) -> Restored:
    """Put a backup in the warehouse's place; whoever was forgotten since it was made is erased from it first.

    Everybody else is kept out until it is done. A crash leaves the one or the other.

    Args:
        warehouse: What is replaced, if it is there; it is kept beside, under another name.
        file: The backup; it stays as it is.
        timezone: The reporting zone (IANA).
        rules: Those of the tables, which are built anew where somebody had to be erased.
        now: Names what is replaced.
        require_quiet: Called right before the warehouse is replaced, while everybody else is kept out of it. It raises
            if the warehouse may not be replaced now; nothing is changed then.

    Raises:
        WarehouseError: it is no backup, or can't be read, or is of another organization or time zone; somebody has the
            warehouse; there is no room. The warehouse is as it was.
    """
    _refuse_lake(warehouse)
    about, path = look(file), Path(os.path.realpath(warehouse.path))
    if path.exists() and file.samefile(path):
        raise WarehouseError(f"{file} is the warehouse itself.")
    failed = f"{file} can't be restored"
    with _told(failed), _kept_out(warehouse) as known:
        _refuse_another(known.about, about)
        path.parent.mkdir(parents=True, exist_ok=True)
        with folder_aside(path, "restoring") as aside:
            copy = Warehouse(str(aside / path.name))
            with ExitStack() as held:
                _copy(file, copy.path, held)
            erased = bring_up_to_date(copy, known.memory, timezone=timezone, rules=rules, now=now)
            if erased != NOTHING:
                compact(copy)
            _take_in_logs(copy)
            _read_through(copy, failed)
            require_quiet()
            replaced = _put_in_place(copy.path, path, warehouse, now=now)
    return Restored(about, replaced, erased, forgot_nobody=known.memory is None)


@contextmanager
def _told(what_failed: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WarehouseError(f"{what_failed}: {error.strerror or error}") from error
    except duckdb.Error as error:
        raise WarehouseError(f"{what_failed}: {first_line(error)}") from error


def _refuse_lake(warehouse: Warehouse) -> None:
    if warehouse.is_lake:
        raise WarehouseError(
            f"{warehouse.target} is a lake: copy its catalog and its data folder together, while nothing writes."
        )


def _about(connection: DuckDBPyConnection) -> About:
    organization, last_day, there = None, None, tables_of(connection)
    if ("topo", "workspace") in there:
        organization = connection.execute("SELECT organization_id FROM topo.workspace").fetchone()
    if ("topo", "loads") in there:
        last_day = connection.execute("SELECT max(day) FROM topo.loads").fetchone()
    return About(organization[0] if organization else None, last_day[0] if last_day else None)


def _copy(file: Path, to: Path, held: ExitStack) -> None:
    """Copy a DuckDB file and its log byte by byte, while the caller keeps writers out.

    The files are closed with `held`, which must come after DuckDB's connection: closing a file releases all locks that
    this process has on it. DuckDB's own COPY FROM DATABASE takes twenty times as long, and everybody would wait for it.
    """
    for there in (file, *logs_of(file)):
        source = held.enter_context(there.open("rb"))
        with Path(f"{to}{str(there).removeprefix(str(file))}").open("wb") as target:
            shutil.copyfileobj(source, target, _AT_ONCE)


def _take_in_logs(copy: Warehouse) -> None:
    """Have one file of it, which can be renamed."""
    with copy.exclusive() as connection:
        connection.execute("CHECKPOINT warehouse")


def _read_through(copy: Warehouse, what_failed: str) -> None:
    """Read every column of every row from the disk: DuckDB compares each block with its checksum only then."""
    sync(copy.path)
    _drop_from_memory(copy.path)
    with copy.as_it_is() as connection:
        for name in sorted(tables_of(connection)):
            table = ".".join(map(identifier, name))
            try:
                connection.execute(f"SELECT count(*), bit_xor(hash(it)) FROM {table} AS it").fetchall()  # noqa: S608
            except duckdb.Error as error:
                raise WarehouseError(
                    f"{what_failed}: the table {'.'.join(name)} in it is damaged ({first_line(error)})"
                ) from error


def _drop_from_memory(file: Path) -> None:
    """Have the next reading come from the disk, and not from what the system remembers of the writing."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


@contextmanager
def _kept_out(warehouse: Warehouse) -> Iterator[_Known]:
    """Keep everybody else out of the warehouse, if there is one, and yield what has to be known of it."""
    with ExitStack() as held:
        known = _Known()
        if warehouse.path.exists():
            try:
                connection = held.enter_context(warehouse.exclusive())
                connection.execute("CHECKPOINT warehouse")
                has_memory = ("topo", "forgotten") in tables_of(connection)
                known = _Known(
                    _about(connection), forgetting.memory(connection) if has_memory else None, is_readable=True
                )
            except WarehouseInUse:
                raise
            except (WarehouseError, duckdb.Error):
                pass  # it is damaged, and nobody can work with it; the caller tells
        yield known


def _refuse_another(known: About, about: About) -> None:
    if None not in {known.organization_id, about.organization_id} and known.organization_id != about.organization_id:
        raise WarehouseError(
            f"It is a backup of organization {about.organization_id}, and the warehouse holds {known.organization_id}:"
            " set TOPO_WAREHOUSE to another file to have both."
        )


def _put_in_place(copy: Path, path: Path, warehouse: Warehouse, *, now: datetime) -> Path | None:
    """Give the copy the warehouse's name, and what had it, with its logs, another; return that name.

    If that fails or is interrupted, everything has its old name again.
    """
    kept = path.with_name(f"{path.name}.replaced-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
    is_there = path.exists()
    # A log that stayed would be applied to the copy. There is one only where the file could not be opened.
    names = {
        log: f"{kept}{str(log).removeprefix(str(name))}" for name in (path, warehouse.path) for log in logs_of(name)
    }
    try:
        if is_there:
            kept.hardlink_to(path)
        for log, name in names.items():
            log.rename(name)
        if is_there:
            put_in_place(copy, path, wait_seconds=warehouse.wait_seconds)
            kept.chmod(PRIVATE)
        else:
            put_new(copy, path)
    except BaseException:
        if not path.exists() or (kept.exists() and kept.samefile(path)):
            for log, name in names.items():
                if not log.exists():
                    Path(name).rename(log)
            kept.unlink(missing_ok=True)
        raise
    return kept if is_there else None
