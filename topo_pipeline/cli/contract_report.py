"""What `doctor --contract` shows, writes and keeps."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.markup import escape
from rich.table import Table

from topo_pipeline.cli.console import clear_errors, complain, err, fail, now, out, quiet, show_json
from topo_pipeline.settings import get_settings

if TYPE_CHECKING:
    from topo_pipeline.topo_api.contract import ContractResult

_COLOURS = {"holds": "green", "unknown": "yellow", "differs": "red"}


def check_contract(days: Sequence[date], output: Path | None, *, as_json: bool) -> int:
    """Check Topo's API, show the result, write it to a file and keep it in the warehouse; return the exit code."""
    from topo_pipeline.doctor.api_contract import check_api
    from topo_pipeline.topo_api.contract import summary

    with clear_errors(), quiet():
        settings = get_settings()
        with err.status("Asking Topo"):
            results = check_api(settings, now, days)
        checked_at = now()
        if as_json:
            show_json({"checked_at": checked_at, "assumptions": [asdict(result) for result in results]})
        else:
            _show(results)
            out.print(f"{summary(results)}.", highlight=False, soft_wrap=True)
    is_kept = _keep(results, checked_at)
    if output:
        _write(results, checked_at, output)
    return 1 if any(result.refuses_days for result in results) or not is_kept else 0


def _show(results: "Sequence[ContractResult]") -> None:
    """An assumption each: in columns on a terminal, on a line elsewhere."""
    table = Table.grid(padding=(0, 1, 0, 0))
    for result in results:
        told = f"Seen: {result.seen}." + (f" {result.consequence}" if result.outcome == "differs" else "")
        if out.is_terminal:
            table.add_row(f"[{_COLOURS[result.outcome]}]{result.outcome}[/]", escape(result.assumption), escape(told))
        else:
            out.print(f"{result.outcome:8}{result.assumption}. {told}", markup=False, highlight=False)
    if out.is_terminal:
        out.print(table, highlight=False)


def _write(results: "Sequence[ContractResult]", checked_at: datetime, output: Path) -> None:
    from topo_pipeline.topo_api.contract import as_text
    from topo_pipeline.warehouse.errors import WarehouseError
    from topo_pipeline.warehouse.files import replacing

    text = as_text(results, checked_at=checked_at, version=version("topo-pipeline"))
    try:
        with replacing(output.absolute()) as new:
            new.write_text(text, encoding="utf-8")
    except WarehouseError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{output} can't be written: {error.strerror}.")
    err.print(
        f"Written to {escape(str(output))}. It contains no data from your workspace.", soft_wrap=True, highlight=False
    )


def _keep(results: "Sequence[ContractResult]", checked_at: datetime) -> bool:
    """Keep the results in the warehouse; say so where it can't be written."""
    from topo_pipeline.first_contact import keep
    from topo_pipeline.warehouse.connection import Warehouse
    from topo_pipeline.warehouse.errors import WarehouseError

    try:
        if not keep(Warehouse(get_settings().warehouse), results, checked_at):
            complain("The result was not kept: the days that were looked at have no activity.")
    except WarehouseError as error:
        complain(f"The result was not kept: {error}")
        return False
    return True


def show_latest(since: datetime) -> None:
    """Show one line about the contract check that has run by itself since an instant, if one has."""
    from topo_pipeline.first_contact import latest_summary
    from topo_pipeline.warehouse.connection import Warehouse
    from topo_pipeline.warehouse.errors import WarehouseError

    with suppress(WarehouseError):  # the days are what matters
        sentence = latest_summary(Warehouse(get_settings().warehouse), since)
        if sentence:
            out.print(sentence, highlight=False, soft_wrap=True)


def refuse_without_contract(*given: object) -> None:
    """Exit where options were given that only the contract check has."""
    if any(given):
        complain("--output and --day belong to --contract: topo-pipeline doctor --contract --output FILE.")
        raise typer.Exit(2)
