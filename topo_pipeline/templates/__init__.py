"""Files that are copied to a new workspace or Dagster home."""

import importlib.resources
from collections.abc import Collection
from pathlib import Path

from topo_pipeline.warehouse.files import replacing

_LOCATION = """\
  - python_module:
      module_name: topo_pipeline.locations
      attribute: "{0}"
      location_name: "{0}"
"""


def copy(name: str, target: Path) -> bool:
    """Copy a file if the target doesn't exist. Return whether it was copied.

    Raises:
        OSError: the target can't be written.
        WarehouseError: the target is not a regular file.
    """
    return not target.exists() and write(_read(name), target)


def write(text: str, target: Path) -> bool:
    """Write a file if it doesn't exist or differs. Return whether it was written.

    Raises:
        OSError: the target can't be written.
        WarehouseError: the target is not a regular file.
    """
    if target.exists() and target.read_text(encoding="utf-8") == text:
        return False
    with replacing(target) as new:
        new.write_text(text, encoding="utf-8")
    return True


def workspace(organizations: Collection[str] = ()) -> str:
    """Return Dagster's workspace file: one code location, or one for each organization."""
    if not organizations:
        return _read("workspace.yaml")
    return "load_from:\n" + "".join(map(_LOCATION.format, organizations))


def _read(name: str) -> str:
    return (importlib.resources.files(__name__) / name).read_text(encoding="utf-8")
