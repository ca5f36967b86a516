"""Files that are copied to a new workspace or Dagster home."""

import importlib.resources
from pathlib import Path

from topo_pipeline.warehouse.files import replacing


def copy(name: str, target: Path, *, replace: bool = False) -> bool:
    """Copy a file if the target doesn't exist, or to replace one that differs. Return whether it was copied.

    Raises:
        OSError: the target can't be written.
        WarehouseError: the target is not a regular file.
    """
    text = (importlib.resources.files(__name__) / name).read_text(encoding="utf-8")
    if target.exists() and not (replace and target.read_text(encoding="utf-8") != text):
        return False
    with replacing(target) as new:
        new.write_text(text, encoding="utf-8")
    return True
