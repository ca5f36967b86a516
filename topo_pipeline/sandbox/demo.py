"""The demo: a simulated workspace, and settings that keep it separate from any real workspace."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.quirks import NO_QUIRKS, Quirks
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World

API_KEY = "topo_sandbox"  # valid for the sandbox only
FOLDER = Path("data/demo")
BLANK = " "  # counts as unset; an empty variable would let .env decide
_UNSET = (
    "TOPO_PAYLOAD_DAYS", "TOPO_RULES", "TOPO_ALERT_WEBHOOK", "TOPO_ALERT_SLACK_TOKEN", "TOPO_ALERT_SLACK_CHANNEL",
    "TOPO_ALERT_WEBHOOK_FORMAT", "TOPO_SMTP_URL", "TOPO_REPORT_MAIL_TO", "TOPO_REPORT_MAIL_FROM", "TOPO_REPORT_URL",
    "TOPO_HEARTBEAT_URL", "TOPO_DAGSTER_RECORD_DAYS", "TOPO_PUBLISH_S3", "TOPO_PUBLISH_POSTGRES",
    "TOPO_PUBLISH_ICEBERG", "TOPO_LAKE_DATA_PATH",
)  # fmt: skip
DAYS = 182  # 26 weeks
START_DATE = date(2026, 1, 1)
SEED = 7
SCALE = 1 / 3  # about 270 activities a day


@contextmanager
def sandbox(
    now: Callable[[], datetime],
    *,
    port: int = 0,
    seed: int = SEED,
    quirks: Quirks = NO_QUIRKS,
    date_clock: Callable[[], datetime] | None = None,
) -> Iterator[str]:
    """Serve the simulated workspace on loopback and yield the API's base URL.

    Port 0 picks a free one. Each seed gives another workspace. `date_clock` sets the Date headers, by default `now`.

    Raises:
        OSError: the port is in use.
    """
    app = create_app(World(seed, scale=SCALE), api_key=API_KEY, now=now, quirks=quirks, date_clock=date_clock)
    with serve(app, port) as address:
        yield f"{address}/v1"


def environment(api_url: str, today: date) -> dict[str, str]:
    """Return an environment in which the pipeline uses the sandbox and nothing of a real workspace.

    The first partition is the same every day, unless the demo's days begin before it.
    """
    folder = FOLDER.absolute()
    return {
        "TOPO_API_KEY": API_KEY,
        "TOPO_API_URL": api_url,
        "TOPO_WAREHOUSE": str(folder / "topo.duckdb"),
        "TOPO_START_DATE": str(min(START_DATE, today - timedelta(days=DAYS))),
        "TOPO_LAKE_SCHEMA": "topo",
        "TOPO_TIMEZONE": "UTC",
        "TOPO_LOOKBACK_DAYS": "3",
        "TOPO_REQUESTS_PER_SECOND": "1000",
        "TOPO_CONCURRENCY": "4",
        "TOPO_COMPLETENESS": "refuse",
        "TOPO_LABEL_CHANNELS": "on",
        "TOPO_AUTOMATION": "off",
        "TOPO_REPORT_DIR": str(folder / "report"),
        "TOPO_PUBLISH_POSTGRES_SCHEMA": "topo_published",
        "DAGSTER_HOME": str(folder / "dagster"),
        **dict.fromkeys(_UNSET, BLANK),
    }


def enter(api_url: str, today: date) -> None:
    """Set the demo's environment for this process. Call it before the settings are read."""
    os.environ.update(environment(api_url, today))
