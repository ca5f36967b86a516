"""The Dagster home: one instance for the UI, the daemon and the command line."""

import importlib.resources
import os
from pathlib import Path


def prepare(folder: Path) -> Path:
    """Make `folder` a Dagster home where it isn't one and let Dagster find it; a dagster.yaml in it is left alone.

    Raises:
        OSError: the folder can't be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "dagster.yaml"
    if not config.exists():
        template = importlib.resources.files("topo_pipeline") / "dagster.yaml"
        config.write_text(template.read_text(encoding="utf-8"), encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(folder)
    return folder
