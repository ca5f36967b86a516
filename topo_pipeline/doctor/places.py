"""Check whether files can be written."""

import os
from pathlib import Path


def can_be_written(path: Path) -> bool:
    """Return whether this user may write the file or folder, or create it if it doesn't exist."""
    existing = next(each for each in (path, *path.parents) if each.exists())
    return os.access(existing, os.W_OK) and (existing == path or existing.is_dir())
