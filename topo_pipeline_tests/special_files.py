"""Files that no command may write to."""

import contextlib
import os
import socket
from collections.abc import Iterable
from pathlib import Path


def special_files(folder: Path) -> dict[str, Path]:
    """Create one file of each kind that is not regular; return them by the words that error messages use."""
    precious = folder / "precious"
    precious.write_text("precious")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to(precious)
    (folder / "dangling").symlink_to(folder / "nothing")
    os.mkfifo(folder / "pipe")
    # The full path may be too long for a socket.
    with socket.socket(socket.AF_UNIX) as opened, contextlib.chdir(folder):
        opened.bind("socket")
    return {
        "it is a folder": folder / "folder",
        "it is a symbolic link": folder / "link",
        "it is a symbolic link.": folder / "dangling",
        "it is a named pipe": folder / "pipe",
        "it is a socket": folder / "socket",
        "it is a device": Path(os.devnull),
    }


def fingerprints(files: Iterable[Path]) -> list[tuple[int, int, int, str | None]]:
    """Return what changes if one of the files is replaced or written to through a link."""
    stats = [(path.lstat(), path.read_text() if path.is_file() else None) for path in files]
    return [(stat.st_mode, stat.st_ino, stat.st_rdev, text) for stat, text in stats]
