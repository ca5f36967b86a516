"""The commands `doctor`, `status` and `report`."""

import webbrowser
from collections import Counter
from collections.abc import Hashable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from topo_pipeline.cli import arguments
from topo_pipeline.cli.board import leaderboard_table
from topo_pipeline.cli.console import AsJson, by_day, counted, err, now, out, quiet, report_errors, show_json
from topo_pipeline.cli.contract_report import check_contract, refuse_without_contract
from topo_pipeline.days import format_counts, format_days, last_due_day
from topo_pipeline.settings import Settings, get_settings

if TYPE_CHECKING:
    import pandas as pd

    from topo_pipeline.doctor import Finding
    from topo_pipeline.engagement.status import Status

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}
_PATIENCE = 5.0  # seconds to wait while another process writes to the warehouse
_TOP = 5  # sequences that `status` shows
_TWO_DAYS = 48  # hours


def doctor(
    contract: Annotated[
        bool,
        typer.Option("--contract", help="Test the assumptions about Topo's API with at most 40 requests."),
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the contract check to this file, for Topo's support.")
    ] = None,
    day: Annotated[
        list[str] | None, typer.Option(metavar="DAY", help="A day to take the sample from. Can be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check everything the pipeline needs and say how to fix what is wrong.

    Checks settings, Topo, key, clock, rate, warehouse, contract, days, Dagster home, runs and automation.

    Exits with 1 if there is a problem, else with 0; warnings don't count. Orphaned runs (runs whose process is gone)
    are marked as failed. Nothing else is changed.

    With --contract, tests the assumptions about Topo's API instead and saves the result in the warehouse. Exits with 1
    if days are refused because of a difference, or if the result can't be saved.

    \b
    Examples:
      topo-pipeline doctor
      topo-pipeline doctor --json | jq '.findings[] | select(.level == "problem")'
      topo-pipeline doctor --contract --output contract.txt
    """
    if contract:
        raise typer.Exit(
            check_contract([arguments.started(arguments.day(text)) for text in day or []], output, as_json=as_json)
        )
    refuse_without_contract(output, day)
    with report_errors(), quiet():
        from topo_pipeline.doctor import examine

        with err.status("Checking"):
            findings = examine(now)
    levels = Counter(finding.level for finding in findings)
    if as_json:
        counts = {f"{level}s": levels[level] for level in ("warning", "problem")}
        show_json({**counts, "findings": [asdict(finding) for finding in findings]})
    else:
        _show_findings(findings)
        out.print(f"{counted(levels['problem'], 'problem')}, {counted(levels['warning'], 'warning')}.")
    raise typer.Exit(1 if levels["problem"] else 0)


def _show_findings(findings: "list[Finding]") -> None:
    """Print one finding per row: in columns in a terminal, else as one line each."""
    table = Table.grid(padding=(0, 1, 0, 0))
    for finding in findings:
        text = f"{finding.found} {finding.do}".strip()
        level = f"[{_COLOURS[finding.level]}]{finding.level}[/]"
        if out.is_terminal:
            table.add_row(level, f"[bold]{escape(finding.check)}[/]", escape(text))
        else:
            text = text.replace(":\n", ": ").replace("\n", "; ")  # commands, one a line
            out.print(f"{finding.level:8}{finding.check:13} {text}", markup=False, highlight=False)
    if out.is_terminal:
        out.print(table, highlight=False)


def status(as_json: AsJson = False) -> None:
    """Show which days have landed, which are missing, and the best sequences.

    Waits up to 5 seconds while another process writes to the warehouse. Exits with 1 if the warehouse can't be read.

    \b
    Examples:
      topo-pipeline status
      topo-pipeline status --json | jq -r .complete
    """
    with report_errors(), quiet():
        from topo_pipeline.engagement import status as status_of_warehouse
        from topo_pipeline.warehouse.connection import Warehouse

        settings = get_settings()
        with Warehouse(settings.warehouse, wait_seconds=_PATIENCE).reader() as connection:
            found = status_of_warehouse.status(connection, last_due_day(now(), settings.zone))
    if as_json:
        show_json(_as_json(settings, found))
    else:
        _show(found)


def _as_json(settings: Settings, found: "Status") -> dict[str, Any]:
    return {
        "warehouse": settings.warehouse,
        "timezone": settings.timezone,
        **asdict(found.days),
        "unreadable": by_day(found.days.unreadable),
        "behind": found.behind,
        "pending_replies": found.pending,
        "sequences": _records(found.board),
    }


def _records(board: "pd.DataFrame | None") -> list[dict[Hashable, Any]]:
    """Return one record per sequence. Unknown values are null, since JSON has no NaN."""
    return [] if board is None else board.astype(object).where(board.notna(), None).to_dict("records")


def _show(found: "Status") -> None:
    days = found.days
    if days.first is None or days.read_at is None:
        due = last_due_day(now(), get_settings().zone)
        out.print(f"No day has landed yet. To read one: topo-pipeline backfill {due} {due}", highlight=False)
        return
    gaps = {
        "missing": days.missing, "last read before the day was over": days.unclosed, "not proved": days.unproved,
        "not in the tables yet": found.behind,
    }  # fmt: skip
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row("Complete up to", f"[bold]{days.complete or 'no day yet'}[/], last read {_ago(days.read_at)}")
    table.add_row(
        "Landed",
        f"{counted(days.activities, 'activity', 'activities')}, {counted(days.days, 'day')} since {days.first}",
    )
    for gap, affected in gaps.items():
        if affected:
            table.add_row("[yellow]Gap[/]", f"{counted(len(affected), 'day')} {gap}: {format_days(affected)}")
    if not any(gaps.values()):
        table.add_row("Gaps", "none")
    if days.unreadable:
        rows = counted(sum(days.unreadable.values()), "row")
        table.add_row("[yellow]Unreadable[/]", f"{rows} could not be read: {format_counts(days.unreadable)}")
    table.add_row("Pending", f"{counted(found.pending, 'reply', 'replies')} not classified by Topo yet")
    out.print(table, highlight=False)
    if found.board is None:
        out.print("The tables are not built yet. topo-pipeline backfill builds them, and so does topo-pipeline dev.")
    else:
        out.print(leaderboard_table(found.board.head(_TOP)))


def _ago(moment: datetime) -> str:
    hours = (now() - moment).total_seconds() / 3600
    if hours < 1:
        return "less than an hour ago"
    return f"{counted(round(hours), 'hour')} ago" if hours < _TWO_DAYS else f"{hours / 24:.0f} days ago"


def report(
    open_it: Annotated[bool, typer.Option("--open", help="Also open it in a browser.")] = False,
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
    from topo_pipeline.report.page import publish
    from topo_pipeline.warehouse.connection import Warehouse

    settings = get_settings()
    warehouse = Warehouse(settings.warehouse, wait_seconds=_PATIENCE)
    with err.status("Writing the report"), warehouse.reader() as connection:
        return publish(
            connection, settings.report_dir, timezone=settings.timezone, rules=settings.rules, now=now()
        ).path
