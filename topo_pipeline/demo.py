"""The demo's own world: a simulated workspace, and settings that keep it apart from any real one."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.quirks import NO_QUIRKS, Quirks
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World

API_KEY = "topo_sandbox"  # opens nothing but the sandbox
FOLDER = Path("data/demo")
NOTHING = " "  # a variable that is empty would leave the word to .env
DAYS = 60
SEED = 7


@contextmanager
def sandbox(
    now: Callable[[], datetime],
    *,
    port: int = 0,
    seed: int = SEED,
    quirks: Quirks = NO_QUIRKS,
    dated_by: Callable[[], datetime] | None = None,
) -> Iterator[str]:
    """Serve the simulated workspace on loopback and yield the API's base address.

    Args:
        now: The workspace's clock.
        port: The port; 0 takes a free one.
        seed: Another seed is another workspace.
        quirks: How the API differs from what is documented.
        dated_by: The clock of its Date headers; `now` where it is left out.

    Raises:
        OSError: the port is taken.
    """
    app = create_app(World(seed), api_key=API_KEY, now=now, quirks=quirks, dated_by=dated_by)
    with serve(app, port) as address:
        yield f"{address}/v1"


def environment(api_url: str) -> dict[str, str]:
    """The environment in which the pipeline sees the sandbox and nothing of a real workspace."""
    folder = FOLDER.absolute()
    return {
        "TOPO_API_KEY": API_KEY,
        "TOPO_API_URL": api_url,
        "TOPO_WAREHOUSE": str(folder / "topo.duckdb"),
        "TOPO_START_DATE": "2026-01-01",
        "TOPO_TIMEZONE": "UTC",
        "TOPO_LOOKBACK_DAYS": "3",
        "TOPO_REQUESTS_PER_SECOND": "1000",
        "TOPO_CONCURRENCY": "4",
        "TOPO_COMPLETENESS": "refuse",
        "TOPO_LABEL_CHANNELS": "on",
        "TOPO_AUTOMATION": "off",
        "TOPO_PAYLOAD_DAYS": NOTHING,
        "TOPO_REPORT_DIR": str(folder / "report"),
        "TOPO_RULES": NOTHING,
        "TOPO_ALERT_WEBHOOK": NOTHING,
        "TOPO_ALERT_SLACK_TOKEN": NOTHING,
        "TOPO_ALERT_SLACK_CHANNEL": NOTHING,
        "TOPO_HEARTBEAT_URL": NOTHING,
        "TOPO_DAGSTER_RECORD_DAYS": NOTHING,
        "DAGSTER_HOME": str(folder / "dagster"),
    }


def enter(api_url: str) -> None:
    """Make the demo's environment this process's; before the settings are read."""
    os.environ.update(environment(api_url))
