"""The command `dev`, which runs until a signal ends it."""

import os
import signal
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from dotenv import dotenv_values

from topo_pipeline.cli.console import STOP_SIGNALS, err, get_settings, now, print_warning, report_errors
from topo_pipeline.cli.workspace import refuse_organization

if TYPE_CHECKING:
    from topo_pipeline.settings import Settings


def dev(
    context: typer.Context,
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
    if demo:
        refuse_organization(context)
    with report_errors():
        from topo_pipeline.orchestration.services import check_port
        from topo_pipeline.settings import base_settings

        check_port(port)
        base = base_settings()
        if not demo and (title := _title(base)):
            environment = {**dotenv_values(".env"), **os.environ, **_paths(base)}
            _serve(port, environment, title, open_it=open_it)
        from topo_pipeline.sandbox import demo as simulated

        with simulated.sandbox(now) as api_url:
            simulated.enter(api_url, now().date())
            title = f"Starting Dagster's UI for the demo, whose Topo API is the sandbox at {api_url}."
            if not demo:
                title = f"TOPO_API_KEY is not set. {title}"
            _serve(port, dict(os.environ), title, open_it=open_it)


def _title(base: "Settings") -> str | None:
    """Return what is served with these settings: one workspace, several organizations, or None without any key.

    What is wrong with one organization is printed, and the others are served.

    Raises:
        SettingsError: the settings of the workspace can't be used.
    """
    from topo_pipeline.defs.resources import Topo
    from topo_pipeline.settings import SettingsError, of_organizations

    organizations = of_organizations(base)
    if organizations is None:
        if get_settings().api_key is None:
            return None
        Topo(get_settings(), now).client()  # fails here if the address or the key can't be used
        return f"Starting Dagster's UI for {base.api_url}."
    for settings in organizations.values():
        try:
            if isinstance(settings, SettingsError):
                raise settings
            Topo(settings, now).client()
        except SettingsError as error:
            print_warning(str(error))
    return f"Starting Dagster's UI for {', '.join(organizations)}."


def _paths(base: "Settings") -> dict[str, str | None]:
    """Return the variables with paths, made absolute: the services run in another folder."""
    from topo_pipeline.settings import of_organizations

    return {
        "DAGSTER_HOME": str(base.dagster_home),
        "TOPO_WAREHOUSE": base.warehouse,
        "TOPO_LAKE_DATA_PATH": base.lake_data_path,
        "TOPO_REPORT_DIR": str(base.report_dir),
        "TOPO_RULES": str(base.rules_file or ""),
        "TOPO_ORGANIZATIONS": str(base.organizations_file) if of_organizations(base) else "",
    }


def _serve(port: int, environment: Mapping[str, str | None], title: str, *, open_it: bool) -> NoReturn:
    """Run Dagster's UI and daemon until they end or a signal ends them, and exit with their exit code."""
    err.say(title)
    home = Path(environment["DAGSTER_HOME"] or "")
    with err.status("Starting Dagster"):
        from topo_pipeline.orchestration.instance import prepare
        from topo_pipeline.orchestration.services import HOST, reserved, run

        workspace = prepare(home)
    variables = {
        **{name: value for name, value in environment.items() if value is not None},
        # dg dev supersedes it, but is not installed with the package.
        "PYTHONWARNINGS": "ignore:Function `dev_command` is superseded",
    }
    address = f"http://{HOST}:{port}"

    def show() -> None:
        err.print(f"Ready: {address}  Press Ctrl-C to stop.")
        if open_it and _has_browser():
            webbrowser.open(address)

    with reserved(home, port) as lock:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.default_int_handler)
        raise typer.Exit(run(workspace, port, lock, variables, on_ready=show))


def _has_browser() -> bool:
    """Return whether a person is at a terminal that can show windows. A text browser would take the terminal over."""
    has_display = sys.platform in {"darwin", "win32"} or not {"DISPLAY", "WAYLAND_DISPLAY"}.isdisjoint(os.environ)
    return err.is_terminal and has_display
