"""What the warehouse asks of the file system: a file gets another's name whole, durably, and unseen by who opens it."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_LOGS = (".wal", ".wal.checkpoint", ".wal.recovery")


@contextmanager
def being_opened(file: Path) -> Iterator[None]:
    """Keep `put_in_place` from renaming within the file's folder while the file is opened.

    DuckDB opens a file first and locks it then. Had it lost its name in between, the lock would be had all the same,
    and what is committed would go into a file that nobody can open again.
    """
    with ExitStack() as held:
        # A folder that can't be locked (not every file system has it) is no reason not to open: there, renaming fails.
        with suppress(OSError):
            held.enter_context(_folder_lock(file, fcntl.LOCK_SH))
        yield


@contextmanager
def folder_aside(file: Path, doing: str) -> Iterator[Path]:
    """Yield a folder that nobody else may read, on the file's file system; one that a crash left is removed."""
    aside = file.with_name(f"{file.name}.{doing}")
    if aside.exists():
        shutil.rmtree(aside)
    aside.mkdir(mode=0o700)
    try:
        yield aside
    finally:
        shutil.rmtree(aside)


def logs_of(*files: Path) -> list[Path]:
    """The logs that stand beside DuckDB files: what is committed, and is taken into the file at a checkpoint."""
    names = dict.fromkeys(Path(f"{file}{kind}") for file in files for kind in _LOGS)
    return [log for log in names if log.exists()]


def put_in_place(new: Path, old: Path) -> None:
    """Give `new` the name and rights of `old`, whose lock the caller holds; a crash leaves the one or the other."""
    _keep_rights(old, new)
    sync(new)
    with _folder_lock(old, fcntl.LOCK_EX):
        new.replace(old)
    sync(old.parent)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keep_rights(old: Path, new: Path) -> None:
    shutil.copystat(old, new)
    os.utime(new)  # its contents are of now
    was, made = old.stat(), new.stat()
    if (was.st_uid, was.st_gid) != (made.st_uid, made.st_gid):
        os.chown(new, was.st_uid, was.st_gid)


@contextmanager
def _folder_lock(file: Path, kind: int) -> Iterator[None]:
    """Lock the folder that the file really lies in. Not the file: to close it would let go of DuckDB's lock on it."""
    descriptor = os.open(Path(os.path.realpath(file)).parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)
