"""The command `report`."""

import webbrowser
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.markup import escape

from topo_pipeline.cli.console import PATIENCE, err, fail, get_settings, now, out, print_error, quiet, report_errors
from topo_pipeline.cli.workspace import Demo

if TYPE_CHECKING:
    from topo_pipeline.alerts.delivery import Destination
    from topo_pipeline.report.page import Published

_T = TypeVar("_T")
_NOT_CONFIGURED = (
    "No destination is configured for the report. Set TOPO_ALERT_WEBHOOK, or TOPO_ALERT_SLACK_TOKEN and"
    " TOPO_ALERT_SLACK_CHANNEL, or TOPO_SMTP_URL, TOPO_REPORT_MAIL_TO and TOPO_REPORT_MAIL_FROM."
)


def report(
    open_it: Annotated[bool, typer.Option("--open", help="Also open it in a browser.")] = False,
    send: Annotated[bool, typer.Option("--send", help="Also send the Monday message, now.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --send: show the message. Write and send nothing.")
    ] = False,
    demo: Demo = False,
) -> None:
    """Write the engagement report and print its path.

    The report is one HTML file in TOPO_REPORT_DIR, built from the current tables. It is kept by its date in the folder
    reports next to it.

    --send also sends the Monday message to the chat and the mail addresses in the settings, by mail with the report.

    \b
    Examples:
      topo-pipeline report --open
      topo-pipeline report --send --dry-run
      cp "$(topo-pipeline report)" /srv/www/engagement.html
    """
    if dry_run and (open_it or not send):
        fail("--dry-run shows the message of --send and writes no report. Use it as: report --send --dry-run", 2)
    with report_errors(), quiet():
        destinations = _destinations() if send else []
        if dry_run:
            return _show_message(destinations)
        if send and not destinations:
            fail(_NOT_CONFIGURED)
        written = write_report()
    out.say(str(written.path))
    if open_it and not webbrowser.open(written.path.as_uri()):
        err.print("No browser was found. Open the file yourself.")
    if not all([_is_sent(written, destination) for destination in destinations]):
        raise typer.Exit(1)
    return None


def write_report() -> "Published":
    """Write the report from the current tables."""
    with err.status("Writing the report"):
        from topo_pipeline.report.page import publish

        return _from_tables(publish)


def _from_tables(make: Callable[..., _T]) -> _T:
    """Call `publish` or `render` with the current tables."""
    from topo_pipeline.warehouse.connection import Warehouse

    settings = get_settings()
    with Warehouse.of(settings, wait_seconds=PATIENCE).reader() as connection:
        return make(
            connection,
            settings.report_dir,
            timezone=settings.timezone,
            rules=settings.rules,
            now=now(),
            url=settings.report_url,
            organization=settings.organization,
        )


def _destinations() -> "list[Destination]":
    from topo_pipeline.alerts.delivery import chat_of
    from topo_pipeline.alerts.mail import mail_of

    settings = get_settings()
    return [destination for destination in (chat_of(settings), mail_of(settings, now)) if destination]


def _show_message(destinations: "Iterable[Destination]") -> None:
    """Print the message and where it would be sent."""
    with err.status("Writing the message"):
        from topo_pipeline.report.page import render

        text = _from_tables(render).text
    places = [f"Would be sent to {destination.place}." for destination in destinations]
    out.say("\n".join([text, *places]))
    if not places:
        err.say(_NOT_CONFIGURED)


def _is_sent(written: "Published", destination: "Destination") -> bool:
    """Send the message, and say where it was sent or why it was not. Return whether it was."""
    from topo_pipeline.alerts.delivery import Undelivered

    try:
        with quiet(), err.status(f"Sending to {escape(destination.place)}"):
            destination.send(written.text, written.kept)
    except Undelivered as error:
        print_error(f"Not sent to {destination.place}: {error}.")
        return False
    err.say(f"Sent to {destination.place}.")
    return True
