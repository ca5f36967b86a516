"""The command `dev`, which runs until a signal ends it."""

import os
import signal
import sys
import webbrowser
from typing import Annotated, NoReturn

import typer
from dotenv import dotenv_values
from rich.markup import escape

from topo_pipeline.cli.console import STOP_SIGNALS, err, get_settings, now, report_errors


def dev(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of Dagster's UI.")] = 3000,
    demo: Annotated[bool, typer.Option("--demo", help="Show the demo. The default without TOPO_API_KEY.")] = False,
    open_it: Annotated[bool, typer.Option("--open/--no-open", help="Open the UI in a browser.")] = True,
) -> None:
    """Start Dagster's UI and daemon.

    The demo has the sandbox in place of Topo. While the daemon runs, tables follow what lands, and with
    TOPO_AUTOMATION=on the schedules run.

    \b
    Examples:
      topo-pipeline dev
      topo-pipeline dev --port 3001
    """
    with report_errors():
        from topo_pipeline.orchestration.services import check_port

        check_port(port)
        if get_settings().api_key is not None and not demo:
            from topo_pipeline.defs.resources import Topo

            Topo(get_settings(), now).client()  # fails here if the address or the key can't be used
            environment = {**dotenv_values(".env"), **os.environ}
            _serve(port, environment, f"Starting Dagster's UI for {get_settings().api_url}.", open_it=open_it)
        from topo_pipeline.sandbox import demo as simulated

        with simulated.sandbox(now) as api_url:
            simulated.enter(api_url, now().date())
            title = f"Starting Dagster's UI for the demo, whose Topo API is the sandbox at {api_url}."
            if not demo:
                title = f"TOPO_API_KEY is not set. {title}"
            _serve(port, dict(os.environ), title, open_it=open_it)


def _serve(port: int, environment: dict[str, str | None], title: str, *, open_it: bool) -> NoReturn:
    """Run Dagster's UI and daemon until they end or a signal ends them, and exit with their exit code."""
    err.print(escape(title), highlight=False, soft_wrap=True)
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
    address = f"http://{HOST}:{port}"

    def show() -> None:
        err.print(f"Ready: {address}  Press Ctrl-C to stop.", highlight=False)
        if open_it and _has_browser():
            webbrowser.open(address)

    with reserved(settings.dagster_home, port) as lock:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.default_int_handler)
        raise typer.Exit(run(workspace, port, lock, variables, on_ready=show))


def _has_browser() -> bool:
    """Return whether a person is at a terminal that can show windows. A text browser would take the terminal over."""
    has_display = sys.platform in {"darwin", "win32"} or not {"DISPLAY", "WAYLAND_DISPLAY"}.isdisjoint(os.environ)
    return err.is_terminal and has_display
