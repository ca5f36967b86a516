"""The output of `doctor --contract`."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from topo_pipeline.cli.console import err, fail, now, out, print_error, quiet, report_errors, show_json
from topo_pipeline.settings import get_settings

if TYPE_CHECKING:
    from topo_pipeline.topo_api.contract import ContractResult

_COLOURS = {"holds": "green", "unknown": "yellow", "differs": "red"}


def check_contract(days: Sequence[date], output: Path | None, *, as_json: bool) -> int:
    """Check Topo's API, print the result, save it to the warehouse and optionally a file; return the exit code."""
    from topo_pipeline.doctor.api_contract import check_api
    from topo_pipeline.topo_api.contract import summary

    with report_errors(), quiet():
        settings = get_settings()
        with err.status("Checking Topo's API"):
            results = check_api(settings, now, days)
        checked_at = now()
        if as_json:
            show_json({"checked_at": checked_at, "assumptions": [asdict(result) for result in results]})
        else:
            _show(results)
            out.print(f"{summary(results)}.", highlight=False, soft_wrap=True)
    is_saved = _save(results, checked_at)
    if output:
        _write(results, checked_at, output)
    return 1 if any(result.refuses_days for result in results) or not is_saved else 0


def _show(results: "Sequence[ContractResult]") -> None:
    """Print one assumption per row: in columns in a terminal, else as one line each."""
    table = Table.grid(padding=(0, 1, 0, 0))
    for result in results:
        text = f"Seen: {result.seen}." + (f" {result.consequence}" if result.outcome == "differs" else "")
        if out.is_terminal:
            table.add_row(f"[{_COLOURS[result.outcome]}]{result.outcome}[/]", escape(result.assumption), escape(text))
        else:
            out.print(f"{result.outcome:8}{result.assumption}. {text}", markup=False, highlight=False)
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


def _save(results: "Sequence[ContractResult]", checked_at: datetime) -> bool:
    """Save the results in the warehouse; return whether the warehouse could be written."""
    from topo_pipeline.ingest.first_contact import keep
    from topo_pipeline.warehouse.connection import Warehouse
    from topo_pipeline.warehouse.errors import WarehouseError

    try:
        if not keep(Warehouse(get_settings().warehouse), results, checked_at):
            print_error("The result was not saved: the checked days have no activities.")
    except WarehouseError as error:
        print_error(f"The result was not saved: {error}")
        return False
    return True


def show_latest(since: datetime) -> None:
    """Print one line about the contract check that ran automatically since `since`, if there is one."""
    from topo_pipeline.ingest.first_contact import latest_summary
    from topo_pipeline.warehouse.connection import Warehouse
    from topo_pipeline.warehouse.errors import WarehouseError

    with suppress(WarehouseError):  # a backfill that worked is not failed for this line
        sentence = latest_summary(Warehouse(get_settings().warehouse), since)
        if sentence:
            out.print(sentence, highlight=False, soft_wrap=True)


def refuse_without_contract(*given: object) -> None:
    """Exit if options of the contract check were given without --contract."""
    if any(given):
        fail("--output and --day need --contract. Run: topo-pipeline doctor --contract --output FILE", 2)
