"""The demo: a simulated workspace, and settings that keep it separate from any real workspace."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from topo_pipeline.settings import Settings, get_settings

if TYPE_CHECKING:
    from topo_pipeline.sandbox.quirks import Quirks

API_KEY = "topo_sandbox"  # valid for the sandbox only
FOLDER, WAREHOUSE = Path("data/demo"), "topo.duckdb"
BLANK = " "  # counts as unset, unlike an empty variable, which would let .env decide
DAYS = 182  # 26 weeks
SEED = 7
SCALE = 1 / 3  # about 270 activities a day


@contextmanager
def sandbox(
    now: Callable[[], datetime],
    *,
    port: int = 0,
    seed: int = SEED,
    quirks: "Quirks | None" = None,
    date_clock: Callable[[], datetime] | None = None,
) -> Iterator[str]:
    """Serve the simulated workspace on loopback and yield the API's base URL.

    Port 0 picks a free one. Each seed gives another workspace. `date_clock` sets the Date headers, by default `now`.

    Raises:
        OSError: the port is in use.
    """
    # Imported here, so that a command that only reads the demo's files doesn't wait for the server's libraries.
    from topo_pipeline.sandbox.app import create_app  # noqa: PLC0415
    from topo_pipeline.sandbox.quirks import NO_QUIRKS  # noqa: PLC0415
    from topo_pipeline.sandbox.server import serve  # noqa: PLC0415
    from topo_pipeline.sandbox.world import World  # noqa: PLC0415

    world = World(seed, scale=SCALE)
    app = create_app(world, api_key=API_KEY, now=now, quirks=quirks or NO_QUIRKS, date_clock=date_clock)
    with serve(app, port) as address:
        yield f"{address}/v1"


def environment(api_url: str, today: date) -> dict[str, str]:
    """Return an environment in which the pipeline uses the sandbox and nothing of a real workspace.

    It has every setting, because .env would decide one that is left out.
    """
    defaults = {
        str(field.validation_alias or f"TOPO_{name.upper()}"): field.default
        for name, field in Settings.model_fields.items()
    }
    folder = FOLDER.absolute()
    return {name: BLANK if default is None else str(default) for name, default in defaults.items()} | {
        "TOPO_API_KEY": API_KEY,
        "TOPO_API_URL": api_url,
        "TOPO_WAREHOUSE": str(folder / WAREHOUSE),
        "TOPO_START_DATE": str(today - timedelta(days=DAYS)),
        "TOPO_REQUESTS_PER_SECOND": "1000",
        "TOPO_REPORT_DIR": str(folder / "report"),
        "TOPO_ORGANIZATIONS": BLANK,
        "DAGSTER_HOME": str(folder / "dagster"),
    }


def enter(api_url: str, today: date) -> None:
    """Set the demo's environment for this process."""
    os.environ.update(environment(api_url, today))
    get_settings.cache_clear()
