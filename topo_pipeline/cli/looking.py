"""`doctor`, `status` and `report`: how things stand."""

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
from topo_pipeline.cli.console import AsJson, by_day, clear_errors, counted, err, now, out, quiet, show_json
from topo_pipeline.cli.contract_report import check_contract, refuse_without_contract
from topo_pipeline.days import counts_in_words, in_words, last_due_day
from topo_pipeline.settings import Settings, get_settings

if TYPE_CHECKING:
    import pandas as pd

    from topo_pipeline.doctor import Finding
    from topo_pipeline.status import Status

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}
_PATIENCE = 5.0  # seconds that `status` waits for whoever writes
_TOP = 5  # sequences
_TWO_DAYS = 48  # hours


def doctor(
    contract: Annotated[
        bool, typer.Option("--contract", help="Test what is assumed about Topo's API, with at most 40 requests.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the contract check is written, fit for Topo's support.")
    ] = None,
    day: Annotated[
        list[str] | None, typer.Option(metavar="DAY", help="A day to take the sample from; can be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at all that the pipeline needs, and say what to do.

    Settings, Topo, key, clocks, rate, warehouse, contract, days, Dagster home, runs and automation.

    Exits with 0 where nothing is a problem (a warning is none), else with 1. Runs whose process is gone are marked as
    failed; nothing else is changed.

    With --contract it tests what is assumed about Topo's API instead, and keeps the result in the warehouse. Exits
    with 1 if days are refused because of what differs.

    \b
    Examples:
      topo-pipeline doctor
      topo-pipeline doctor --json | jq '.findings[] | select(.level == "problem")'
      topo-pipeline doctor --contract --output contract.txt
    """
    if contract:
        raise typer.Exit(
            check_contract([arguments.begun(arguments.day(text)) for text in day or []], output, as_json=as_json)
        )
    refuse_without_contract(output, day)
    with clear_errors(), quiet():
        from topo_pipeline.doctor import examine

        with err.status("Looking"):
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
    """A finding each: in columns on a terminal, on a line elsewhere."""
    table = Table.grid(padding=(0, 1, 0, 0))
    for finding in findings:
        told = f"{finding.found} {finding.do}".strip()
        level = f"[{_COLOURS[finding.level]}]{finding.level}[/]"
        if out.is_terminal:
            table.add_row(level, f"[bold]{escape(finding.check)}[/]", escape(told))
        else:
            out.print(f"{finding.level:8}{finding.check:13} {told}", markup=False, highlight=False)
    if out.is_terminal:
        out.print(table, highlight=False)


def status(as_json: AsJson = False) -> None:
    """Tell what is landed and what is missing, and the best sequences.

    Waits some seconds for whoever writes to the warehouse. Exits with 0 where there is something to tell.

    \b
    Examples:
      topo-pipeline status
      topo-pipeline status --json | jq -r .complete
    """
    with clear_errors(), quiet():
        from topo_pipeline import status as standing
        from topo_pipeline.warehouse.connection import Warehouse

        settings = get_settings()
        with Warehouse(settings.warehouse, wait_seconds=_PATIENCE).reader() as connection:
            found = standing.status(connection, last_due_day(now(), settings.zone))
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
    """Every sequence; what can't be told is null, JSON has no NaN."""
    return [] if board is None else board.astype(object).where(board.notna(), None).to_dict("records")


def _show(found: "Status") -> None:
    days = found.days
    if days.first is None or days.read_at is None:
        out.print("No day has landed yet. Read some: topo-pipeline backfill FROM TO")
        return
    gaps = {
        "missing": days.missing, "read before they were over": days.unclosed, "not proved": days.unproved,
        "not in the tables yet": found.behind,
    }  # fmt: skip
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row("Complete up to", f"[bold]{days.complete or 'no day yet'}[/], last read {_ago(days.read_at)}")
    table.add_row("Landed", f"{days.activities:,} activities, {counted(days.days, 'day')} since {days.first}")
    for what, which in gaps.items():
        if which:
            table.add_row("[yellow]Gap[/]", f"{counted(len(which), 'day')} {what}: {in_words(which)}")
    if not any(gaps.values()):
        table.add_row("Gaps", "none")
    if days.unreadable:
        rows = counted(sum(days.unreadable.values()), "row")
        table.add_row("[yellow]Unreadable[/]", f"{rows} could not be read: {counts_in_words(days.unreadable)}")
    table.add_row("Pending", f"{found.pending:,} replies without a category yet")
    out.print(table, highlight=False)
    if found.board is None:
        out.print("The tables are not built yet: make dev builds them, and so does a backfill.")
    else:
        out.print(leaderboard_table(found.board.head(_TOP)))


def _ago(moment: datetime) -> str:
    hours = (now() - moment).total_seconds() / 3600
    if hours < 1:
        return "within the hour"
    return f"{hours:.0f} hours ago" if hours < _TWO_DAYS else f"{hours / 24:.0f} days ago"


def report(
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser, too.")] = False,
) -> None:
    """Write the engagement report, and print where it is.

    One HTML file in TOPO_REPORT_DIR, of what the tables hold now.

    \b
    Examples:
      topo-pipeline report --open
      cp "$(topo-pipeline report)" /srv/www/engagement.html
    """
    with clear_errors(), quiet():
        path = write_report()
    out.print(str(path), soft_wrap=True, markup=False, highlight=False)
    if open_it and not webbrowser.open(path.as_uri()):
        err.print("No browser was found to open it with: open the file yourself.")


def write_report() -> Path:
    """Write the report of what the tables hold now; return the file."""
    from topo_pipeline.report.page import publish
    from topo_pipeline.warehouse.connection import Warehouse

    settings = get_settings()
    warehouse = Warehouse(settings.warehouse, wait_seconds=_PATIENCE)
    with err.status("Writing the report"), warehouse.reader() as connection:
        return publish(
            connection, settings.report_dir, timezone=settings.timezone, rules=settings.rules, now=now()
        ).path
