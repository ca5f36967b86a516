"""Write files so that others see the old file or the whole new one, and only files of ours are removed.

Everything that topo-pipeline writes is written in a temporary folder next to its destination and then renamed. The
folder is private, has a random name that begins with the name of the destination, and is locked while it is in use. So
what a killed process left is found by its name (`left_aside`), and the next command that writes the same file removes
it.

What is published (the report, exports) gets the mode that the umask gives to new files, because others read it. The
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

from topo_pipeline.retries import stamina
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
    """Keep `put_in_place` from renaming within the file's folder while the file is opened.

    DuckDB opens a file first and locks it afterwards. If the file lost its name in between, DuckDB would still get the
    lock, and what is committed would go into a file that nobody can open again.

    Raises:
        WarehouseInUse: another process holds the folder's lock.
    """
    with ExitStack() as held:
        # Not every file system has locks. Without them the warehouse can be opened, but not replaced.
        with suppress(OSError):
            held.enter_context(_locked(_folder_of(file), fcntl.LOCK_SH))
        yield


@contextmanager
def folder_aside(file: Path, doing: str) -> Iterator[Path]:
    """Yield a private temporary folder next to `file`, and remove those that killed processes left there.

    Args:
        file: The destination. The folder lies in `.NAME.DOING-RANDOM`, on the same file system.
        doing: A word that says what the folder is for.

    Raises:
        OSError: the folder can't be created.
    """
    for left in _left(file):
        _remove_if_unused(left)
    with ExitStack() as held:
        aside = None
        while aside is None:
            made = Path(tempfile.mkdtemp(prefix=f".{file.name}.{doing}-", dir=file.parent))
            aside = made if _is_kept(held, made) else None
        held.callback(_remove, aside)
        # The lock of the folder says that it is in use. The folder of the files has one of its own: see being_opened.
        files = aside / "files"
        files.mkdir(mode=0o700)
        yield files


def left_aside(file: Path) -> list[Path]:
    """Return the temporary folders for `file` that no process uses: killed processes left them.

    Folders of other users are not among them.
    """
    return [folder for folder in _left(file) if not _is_in_use(folder)]


def remove_left_aside(file: Path) -> list[Path]:
    """Remove the temporary folders for `file` that killed processes left; return all of them, removed or not."""
    left = left_aside(file)
    for folder in left:
        _remove_if_unused(folder)
    return left


def remove_unused(folder: Path, doing: str) -> None:
    """Remove the temporary folders for whatever file in `folder` that killed processes left while they did this."""
    for left in _matching(folder, re.compile(rf"\..+\.{doing}-[a-z0-9_]{{8}}")):
        _remove_if_unused(left)


def temporary() -> Path:
    """Return the name that temporary folders elsewhere than next to a file have: `folder_aside(temporary(), …)`."""
    return Path(tempfile.gettempdir(), "topo_pipeline")


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Yield a path to write to; that file becomes `file` when the block ends without an error.

    Its mode follows the umask.

    Raises:
        WarehouseError: `file` is there and is not a regular file.
        OSError: the file can't be written.
    """
    require_file_or_nothing(file)
    with folder_aside(file, "writing") as aside:
        new = aside / file.name
        yield new
        sync(new)
        require_file_or_nothing(file)
        new.replace(file)


def require_file_or_nothing(file: Path) -> None:
    """Make sure that there is a regular file, or nothing, under this name.

    Raises:
        WarehouseError: there is something else, such as a link, a named pipe or a device.
    """
    try:
        mode = file.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "a device")
        raise WarehouseError(f"{file} can't be written: it is {kind}. Choose another file.")


def logs_of(*files: Path) -> list[Path]:
    """Return the write-ahead logs next to DuckDB files: they hold commits that are not in the file yet."""
    names = dict.fromkeys(Path(f"{file}{kind}") for file in files for kind in _LOGS)
    return [log for log in names if log.exists()]


def put_in_place(new: Path, old: Path, *, wait_seconds: float) -> None:
    """Replace `old`, whose DuckDB lock the caller holds, by `new`, which gets its owner and mode.

    A crash leaves one of the two.

    Args:
        new: On the same file system.
        old: A file that is there.
        wait_seconds: How long to wait for the folder's lock.

    Raises:
        WarehouseInUse: another process holds the folder's lock.
        OSError: the file can't be replaced, or the file system has no locks.
    """
    _keep_rights(old, new)
    sync(new)
    with locked(_folder_of(old), wait_seconds=wait_seconds):
        new.replace(old)
    sync(old.parent)


def put_new(new: Path, file: Path) -> None:
    """Give `new`, which becomes private, the name `file`, under which there must be nothing.

    Raises:
        FileExistsError: there is something under this name; it stays as it is.
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
            raise FileExistsError(f"{file} is there already") from None
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


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _left(file: Path) -> list[Path]:
    """Return the temporary folders for `file`, in use or not."""
    return _matching(file.parent, re.compile(rf"\.{re.escape(file.name)}\.[a-z]+-[a-z0-9_]{{8}}"))


def _matching(folder: Path, names: re.Pattern[str]) -> list[Path]:
    """Return the private folders with such a name, as `tempfile.mkdtemp` gives it."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if names.fullmatch(entry.name) and _is_ours(entry))
    except OSError:  # creating the new folder then says why
        return []


def _is_ours(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a private folder of this user."""
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077


def _is_kept(held: ExitStack, folder: Path) -> bool:
    """Lock a new folder. False if a process that looks for unused folders was faster, and removes it."""
    try:
        held.enter_context(_locked(folder, fcntl.LOCK_EX))
    except (FileNotFoundError, WarehouseInUse):
        return False
    except OSError:  # without locks nobody removes it
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


def _keep_rights(old: Path, new: Path) -> None:
    shutil.copystat(old, new)
    os.utime(new)  # its contents are of now
    was, made = old.stat(), new.stat()
    if (was.st_uid, was.st_gid) != (made.st_uid, made.st_gid):
        os.chown(new, was.st_uid, was.st_gid)


def _folder_of(file: Path) -> Path:
    """Return the folder that the file really lies in."""
    return Path(os.path.realpath(file)).parent


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    """Lock a folder without waiting. Not a DuckDB file: to close that would release DuckDB's own lock on it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            process = _holder(descriptor)
            who = f"process {process}" if process else "another process"
            raise WarehouseInUse(
                f"{who.capitalize()} has locked the folder {folder}: wait for it to end, or end it.", process=process
            ) from error
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> int | None:
    """Return the process that holds a folder's lock, where the system says so."""
    found = os.fstat(descriptor)
    file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    with suppress(OSError):
        holder = re.search(rf": FLOCK +\S+ +\S+ +(\d+) {file} ", Path("/proc/locks").read_text(encoding="ascii"))
        return int(holder[1]) if holder else None
    return None
