"""The command `dev`, which runs until a signal ends it."""

import os
import signal
from typing import Annotated, NoReturn

import typer
from dotenv import dotenv_values
from rich.markup import escape

from topo_pipeline.cli.console import STOP_SIGNALS, err, now, report_errors
from topo_pipeline.settings import get_settings


def dev(port: Annotated[int, typer.Option(min=1, max=65535, help="The port of Dagster's UI.")] = 3000) -> None:
    """Start Dagster's UI and daemon.

    Without TOPO_API_KEY they show the demo, with the sandbox in place of Topo. While the daemon runs, tables follow
    what lands, and with TOPO_AUTOMATION=on the schedules run.

    \b
    Examples:
      topo-pipeline dev
      topo-pipeline dev --port 3001
    """
    with report_errors():
        if get_settings().api_key is not None:
            from topo_pipeline.defs.resources import Topo

            Topo(get_settings(), now).client()  # fails here if the address or the key can't be used
            _serve(port, {**dotenv_values(".env"), **os.environ}, f"Dagster's UI for {get_settings().api_url}")
        from topo_pipeline.sandbox import demo as simulated

        get_settings.cache_clear()
        with simulated.sandbox(now) as api_url:
            simulated.enter(api_url, now().date())
            _serve(port, dict(os.environ), "TOPO_API_KEY is not set. Dagster's UI for the demo's simulated workspace")


def _serve(port: int, environment: dict[str, str | None], title: str) -> NoReturn:
    """Run Dagster's UI and daemon until they end or a signal ends them, and exit with their exit code."""
    settings = get_settings()
    with err.status("Starting Dagster"):
        from topo_pipeline.orchestration.instance import prepare
        from topo_pipeline.orchestration.services import HOST, reserved, run

        workspace = prepare(settings.dagster_home)
    variables = {
        **{name: value for name, value in environment.items() if value is not None},
        "DAGSTER_HOME": str(settings.dagster_home),
        "TOPO_WAREHOUSE": settings.warehouse,
        "TOPO_LAKE_DATA_PATH": settings.lake_data_path or "",
        "TOPO_REPORT_DIR": str(settings.report_dir),
        "TOPO_RULES": str(settings.rules_file or ""),
        # dg dev supersedes it, but is not installed with the package.
        "PYTHONWARNINGS": "ignore:Function `dev_command` is superseded",
    }
    with reserved(settings.dagster_home, port) as lock:
        err.print(f"{escape(title)}: http://{HOST}:{port}", highlight=False)
        for number in STOP_SIGNALS:
            signal.signal(number, signal.default_int_handler)
        raise typer.Exit(run(workspace, port, lock, variables))
