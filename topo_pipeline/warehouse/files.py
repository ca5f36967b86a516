"""Replace files atomically: readers see the old file or the complete new one. Only topo-pipeline's files are removed.

Every file is written in a temporary folder next to its destination and then renamed. The folder is private, has a
random name that begins with the name of the destination, and is locked while in use. `leftover_folders` finds the
folders of killed processes by name, and the next command that writes the same file removes them.

Published files (the report, exports) get the mode that the umask gives to new files, because others read them. The
warehouse and its backups get mode 0600.
"""

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from topo_pipeline.common.retries import stamina
from topo_pipeline.warehouse.errors import WarehouseError, WarehouseInUse

PRIVATE = 0o600
_LOGS = (".wal", ".wal.checkpoint", ".wal.recovery")
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)


@contextmanager
def being_opened(file: Path) -> Iterator[None]:
    """Keep `put_in_place` from renaming files in the file's folder while the file is being opened.

    DuckDB opens a file first and locks it afterwards. If the file lost its name in between, DuckDB would still get the
    lock, and commits would go into a file that nobody can open again.

    Raises:
        WarehouseInUse: another process holds the folder's lock.
    """
    with ExitStack() as held:
        # On a file system without locks the warehouse can be opened, but not replaced.
        with suppress(OSError):
            held.enter_context(_locked(_folder_of(file), fcntl.LOCK_SH))
        yield


@contextmanager
def temporary_folder(file: Path, doing: str) -> Iterator[Path]:
    """Yield a private temporary folder next to `file`, after removing those that killed processes left there.

    Args:
        file: The destination. The folder is in `.NAME.DOING-RANDOM`, on the same file system.
        doing: A word for the purpose of the folder.

    Raises:
        OSError: the folder can't be created.
    """
    for left in _left(file):
        _remove_if_unused(left)
    with ExitStack() as held:
        aside = None
        while aside is None:
            made = Path(tempfile.mkdtemp(prefix=f".{file.name}.{doing}-", dir=file.parent))
            aside = made if _lock_new(held, made) else None
        held.callback(_remove, aside)
        # The lock on this folder marks it as in use. Files go into a subfolder, which being_opened can lock separately.
        files = aside / "files"
        files.mkdir(mode=0o700)
        yield files


def leftover_folders(file: Path) -> list[Path]:
    """Return this user's temporary folders for `file` that no process uses: killed processes left them."""
    return [folder for folder in _left(file) if not _is_in_use(folder)]


def remove_leftovers(file: Path) -> list[Path]:
    """Remove the temporary folders for `file` that killed processes left. Return all of them, removed or not."""
    left = leftover_folders(file)
    for folder in left:
        _remove_if_unused(folder)
    return left


def remove_unused(folder: Path, doing: str) -> None:
    """Remove the temporary folders with the purpose `doing` that killed processes left in `folder`, for any file."""
    for left in _matching(folder, re.compile(rf"\..+\.{doing}-[a-z0-9_]{{8}}")):
        _remove_if_unused(left)


def temporary() -> Path:
    """Return the `file` to pass to `temporary_folder` for a folder in the system's temporary directory."""
    return Path(tempfile.gettempdir(), "topo_pipeline")


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Yield a path to write to. That file replaces `file` when the block ends without an error.

    Its mode follows the umask.

    Raises:
        WarehouseError: `file` exists and is not a regular file.
        OSError: the file can't be written.
    """
    require_file_or_nothing(file)
    with temporary_folder(file, "writing") as aside:
        new = aside / file.name
        yield new
        sync(new)
        require_file_or_nothing(file)
        new.replace(file)


def require_file_or_nothing(file: Path) -> None:
    """Require that this path is a regular file or does not exist.

    Raises:
        WarehouseError: it is something else, such as a link, a named pipe or a device.
    """
    try:
        mode = file.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "a device")
        raise WarehouseError(f"{file} can't be written: it is {kind}. Choose another file name.")


def logs_of(*files: Path) -> list[Path]:
    """Return the write-ahead logs next to DuckDB files. They hold commits that are not in the file yet."""
    names = dict.fromkeys(Path(f"{file}{kind}") for file in files for kind in _LOGS)
    return [log for log in names if log.exists()]


def put_in_place(new: Path, old: Path, *, wait_seconds: float) -> None:
    """Replace `old`, whose DuckDB lock the caller holds, by `new`, which gets its owner and mode.

    Both are on the same file system. A crash leaves one of the two.

    Raises:
        WarehouseInUse: another process holds the folder's lock.
        OSError: the file can't be replaced, or the file system has no locks.
    """
    _copy_owner_and_mode(old, new)
    sync(new)
    with locked(_folder_of(old), wait_seconds=wait_seconds):
        new.replace(old)
    sync(old.parent)


def put_new(new: Path, file: Path) -> None:
    """Make `new` private and rename it to `file`, which must not exist.

    Raises:
        FileExistsError: `file` exists. It is left as it is.
        OSError: the file can't be written.
    """
    new.chmod(PRIVATE)
    sync(new)
    try:
        file.hardlink_to(new)  # unlike a rename, this never replaces anything
    except FileExistsError:
        raise
    except OSError:  # the file system has no hard links
        if os.path.lexists(file):
            raise FileExistsError(f"{file} already exists") from None
        new.rename(file)
    sync(file.parent)


@contextmanager
def locked(folder: Path, *, wait_seconds: float) -> Iterator[None]:
    """Hold the exclusive lock of a folder.

    Raises:
        WarehouseInUse: another process has held the lock for `wait_seconds`.
        OSError: the file system has no locks.
    """
    with ExitStack() as held:
        for attempt in stamina.retry_context(
            on=WarehouseInUse, attempts=None, timeout=wait_seconds, wait_initial=0.05, wait_max=1.0
        ):
            with attempt:
                held.enter_context(_locked(folder, fcntl.LOCK_EX))
        yield


def can_be_written(path: Path) -> bool:
    """Return whether this user may write the file or folder, or create it if it doesn't exist."""
    existing = next(each for each in (path, *path.parents) if each.exists())
    return os.access(existing, os.W_OK) and (existing == path or existing.is_dir())


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _left(file: Path) -> list[Path]:
    """Return the temporary folders for `file`, in use or not."""
    return _matching(file.parent, re.compile(rf"\.{re.escape(file.name)}\.[a-z]+-[a-z0-9_]{{8}}"))


def _matching(folder: Path, names: re.Pattern[str]) -> list[Path]:
    """Return this user's private folders with a matching name."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if names.fullmatch(entry.name) and _is_private(entry))
    except OSError:  # creating the new folder will fail too and report why
        return []


def _is_private(entry: "os.DirEntry[str]") -> bool:
    """Return whether it is a private folder of this user."""
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077


def _lock_new(held: ExitStack, folder: Path) -> bool:
    """Lock a new folder. Return False if a process that removes unused folders was faster."""
    try:
        held.enter_context(_locked(folder, fcntl.LOCK_EX))
    except (FileNotFoundError, WarehouseInUse):
        return False
    except OSError:  # without locks no process removes it
        return True
    return folder.exists()


def _is_in_use(folder: Path) -> bool:
    try:
        with _locked(folder, fcntl.LOCK_EX):
            return False
    except WarehouseInUse:
        return True
    except OSError:  # unknown
        return False


def _remove_if_unused(folder: Path) -> None:
    with suppress(OSError, WarehouseInUse), _locked(folder, fcntl.LOCK_EX):
        _remove(folder)


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _copy_owner_and_mode(old: Path, new: Path) -> None:
    shutil.copystat(old, new)
    os.utime(new)  # copystat has also copied the old times
    was, made = old.stat(), new.stat()
    if (was.st_uid, was.st_gid) != (made.st_uid, made.st_gid):
        os.chown(new, was.st_uid, was.st_gid)


def _folder_of(file: Path) -> Path:
    """Return the folder of the file that links lead to."""
    return Path(os.path.realpath(file)).parent


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    """Lock a folder without waiting. Don't use this for DuckDB files: closing one releases DuckDB's own lock on it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            process = _holder(descriptor)
            who = f"Process {process}" if process else "Another process"
            raise WarehouseInUse(
                f"{who} has locked the folder {folder}. Wait for it to finish, or stop it.", process=process
            ) from error
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> int | None:
    """Return the id of the process that holds a folder's lock, or None if the system does not report it."""
    found = os.fstat(descriptor)
    file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    with suppress(OSError):
        holder = re.search(rf": FLOCK +\S+ +\S+ +(\d+) {file} ", Path("/proc/locks").read_text(encoding="ascii"))
        return int(holder[1]) if holder else None
    return None
