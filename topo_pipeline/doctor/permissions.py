"""Check whether other users can read private files, and whether this user can write them.

Published files and backups are not checked.
"""

import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from topo_pipeline.doctor.finding import Finding, ok, warning
from topo_pipeline.settings import Settings
from topo_pipeline.warehouse.connection import Warehouse

_OTHERS = 0o077  # the group and all other users


def look(settings: Settings, warehouse: Warehouse) -> Iterator[Finding]:
    """Yield each private file and folder whose mode gives other users access."""
    private = [Path(".env"), *warehouse.place.files(), settings.dagster_home]
    exposed = {path: path.stat().st_mode for path in private if path.exists() and path.stat().st_mode & _OTHERS}
    for path, mode in exposed.items():
        wanted = "700" if stat.S_ISDIR(mode) else "600"
        found = f"{path} has mode {stat.S_IMODE(mode):o}, so other users may have access to it."
        yield warning("permissions", found, f"Run: chmod {wanted} {shlex.quote(str(path))}")
    if not exposed:
        yield ok("permissions", "No other user can read the warehouse, .env or Dagster's home.")
