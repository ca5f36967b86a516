"""The command `report`."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from topo_pipeline.cli.console import PATIENCE, err, now, out, quiet, report_errors
from topo_pipeline.cli.workspace import Demo
from topo_pipeline.settings import get_settings


def report(
    open_it: Annotated[bool, typer.Option("--open", help="Also open it in a browser.")] = False,
    demo: Demo = False,
) -> None:
    """Write the engagement report and print its path.

    The report is one HTML file in TOPO_REPORT_DIR, built from the current tables.

    \b
    Examples:
      topo-pipeline report --open
      cp "$(topo-pipeline report)" /srv/www/engagement.html
    """
    with report_errors(), quiet():
        path = write_report()
    out.print(str(path), soft_wrap=True, markup=False, highlight=False)
    if open_it and not webbrowser.open(path.as_uri()):
        err.print("No browser was found. Open the file yourself.")


def write_report() -> Path:
    """Write the report from the current tables and return its path."""
    settings = get_settings()
    with err.status("Writing the report"):
        from topo_pipeline.report.page import publish
        from topo_pipeline.warehouse.connection import Warehouse

        with Warehouse.of(settings, wait_seconds=PATIENCE).reader() as connection:
            return publish(
                connection, settings.report_dir, timezone=settings.timezone, rules=settings.rules, now=now()
            ).path
