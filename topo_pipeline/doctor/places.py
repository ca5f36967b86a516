"""Where files are, or would be made."""

import os
from pathlib import Path


def can_be_written(path: Path) -> bool:
    """Whether this user may write the file or folder, or make it where there is none."""
    there = next(each for each in (path, *path.parents) if each.exists())
    return os.access(there, os.W_OK) and (there == path or there.is_dir())
