"""Check whether other users can read private files, and whether this user can write them.

Published files and backups are not checked.
"""

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from topo_pipeline.doctor.finding import Finding, ok, warning
from topo_pipeline.maintenance.inventory import replaced_copies
from topo_pipeline.settings import Settings
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.files import logs_of

_OTHERS = 0o077  # the group and all other users


def look(settings: Settings, warehouse: Warehouse) -> Iterator[Finding]:
    """Yield each private file and folder whose mode gives other users access."""
    data = [Path(f"{warehouse.path}.files")] if warehouse.is_lake else []
    files = [warehouse.path, *logs_of(warehouse.path), *replaced_copies(warehouse)]
    private = [Path(".env"), *files, *data, settings.dagster_home]
    exposed = {path: path.stat().st_mode for path in private if path.exists() and path.stat().st_mode & _OTHERS}
    for path, mode in exposed.items():
        wanted = "700" if stat.S_ISDIR(mode) else "600"
        found = f"{path} has mode {stat.S_IMODE(mode):o}, so other users may have access to it."
        yield warning("permissions", found, f"Run: chmod {wanted} {shlex.quote(str(path))}")
    if not exposed:
        yield ok("permissions", "No other user can read the warehouse, .env or Dagster's home.")


def can_be_written(path: Path) -> bool:
    """Return whether this user may write the file or folder, or create it if it doesn't exist."""
    existing = next(each for each in (path, *path.parents) if each.exists())
    return os.access(existing, os.W_OK) and (existing == path or existing.is_dir())
