"""The command `doctor`, also with `--contract`."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from topo_pipeline.cli import arguments
from topo_pipeline.cli.console import (
    AsJson,
    err,
    fail,
    get_settings,
    get_warehouse,
    now,
    out,
    print_error,
    quiet,
    report_errors,
    show_json,
)
from topo_pipeline.cli.workspace import Demo
from topo_pipeline.common.commands import pasteable
from topo_pipeline.common.text import counted
from topo_pipeline.topo_api.errors import TopoUnavailable
from topo_pipeline.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from topo_pipeline.doctor import Finding
    from topo_pipeline.topo_api.contract import ContractResult

_COLOURS = {
    "ok": "green",
    "warning": "yellow",
    "problem": "red",
    "holds": "green",
    "unknown": "yellow",
    "differs": "red",
}


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
    demo: Demo = False,
) -> None:
    """Check the setup and say how to fix it.

    Checks the settings, Topo's API, the warehouse, the Dagster home, automation, the targets to publish to, and file
    permissions.

    Exits with 1 if there is a problem, else with 0; warnings don't count. Orphaned runs (runs whose process is gone)
    are marked as failed. Nothing else is changed, except that an object is written to a bucket and deleted again.

    With --contract, tests the assumptions about Topo's API instead and saves the result in the warehouse. Exits with 1
    if days are refused because of a difference, or if the result can't be saved.

    \b
    Examples:
      topo-pipeline doctor
      topo-pipeline doctor --json | jq '.findings[] | select(.level == "problem")'
      topo-pipeline doctor --contract --output contract.txt
    """
    if (output or day) and not contract:
        fail("--output and --day belong to the contract check: add --contract.", 2)
    with _sandbox() if demo else nullcontext():
        if contract:
            days = [arguments.started(arguments.day(text)) for text in day or []]
            raise typer.Exit(_check_contract(days, output, as_json=as_json))
        with report_errors(), quiet(), err.status("Checking"):
            from topo_pipeline.doctor import examine

            findings = examine(now)
    if demo:
        findings = [_of_the_demo(each) for each in findings]
    levels = Counter(finding.level for finding in findings)
    if as_json:
        counts = {f"{level}s": levels[level] for level in ("warning", "problem")}
        show_json({**counts, "findings": [asdict(finding) for finding in findings]})
    else:
        _show(((each.level, each.check, f"{each.found} {each.do}".strip()) for each in findings), width=16)
        out.print(f"{counted(levels['problem'], 'problem')}, {counted(levels['warning'], 'warning')}.")
    raise typer.Exit(1 if levels["problem"] else 0)


@contextmanager
def _sandbox() -> Iterator[None]:
    """Serve the demo's API."""
    from topo_pipeline.sandbox import demo

    with report_errors(), demo.sandbox(now) as api_url:
        demo.enter(api_url, now().date())
        yield


def _of_the_demo(finding: "Finding") -> "Finding":
    if finding.check == "settings" and finding.level == "ok":  # `enter` has set every variable
        return replace(finding, found=f"Those of the demo. Reporting days are in {get_settings().timezone}.")
    if finding.check == "days" and finding.do:  # backfill would read the real workspace
        return replace(finding, do="To read them: topo-pipeline demo")
    return finding


def _show(rows: Iterable[tuple[str, str, str]], width: int = 0) -> None:
    """Print rows of (level, check, text): in columns in a terminal, else as one line each."""
    table = Table.grid(padding=(0, 1, 0, 0))
    for level, check, text in rows:
        if out.is_terminal:
            table.add_row(f"[{_COLOURS[level]}]{level}[/]", f"[bold]{escape(check)}[/]", escape(pasteable(text)))
        else:
            line = text.replace(":\n", ": ").replace("\n", "; ")  # commands, one a line
            out.print(f"{level:8}{check:{width}} {line}", markup=False)
    if out.is_terminal:
        out.print(table)


def _check_contract(days: Sequence[date], output: Path | None, *, as_json: bool) -> int:
    """Check Topo's API, print the result, save it to the warehouse and optionally a file; return the exit code."""
    from topo_pipeline.doctor.api import CHECK_ADDRESS
    from topo_pipeline.doctor.api_contract import check_api
    from topo_pipeline.topo_api.contract import summary

    with report_errors(), quiet():
        settings = get_settings()
        try:
            with err.status("Checking Topo's API"):
                results = check_api(settings, now, days)
        except TopoUnavailable as error:
            if error.status is None:  # nothing answered
                fail(f"{error}. {CHECK_ADDRESS}")
            raise
        checked_at = now()
        if as_json:
            show_json({"checked_at": checked_at, "assumptions": [asdict(result) for result in results]})
        else:
            _show((result.outcome, f"{result.assumption}.", _seen(result)) for result in results)
            out.say(f"{summary(results)}.")
    is_saved = _save(results, checked_at)
    if output:
        _write(results, checked_at, output)
    return 1 if any(result.refuses_days for result in results) or not is_saved else 0


def _seen(result: "ContractResult") -> str:
    return f"Seen: {result.seen}." + (f" {result.consequence}" if result.outcome == "differs" else "")


def _write(results: "Sequence[ContractResult]", checked_at: datetime, output: Path) -> None:
    from importlib.metadata import version

    from topo_pipeline.topo_api.contract import as_text
    from topo_pipeline.warehouse.files import replacing

    text = as_text(results, checked_at=checked_at, version=version("topo-pipeline"))
    try:
        with replacing(output.absolute()) as new:
            new.write_text(text, encoding="utf-8")
    except WarehouseError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{output} can't be written: {error.strerror}.")
    err.say(f"Written to {output}. It contains no data from your workspace.")


def _save(results: "Sequence[ContractResult]", checked_at: datetime) -> bool:
    """Save the results in the warehouse; return whether the warehouse could be written."""
    from topo_pipeline.ingest.first_contact import keep

    try:
        if not keep(get_warehouse(), results, checked_at):
            print_error("The result was not saved: the checked days have no activities.")
    except WarehouseError as error:
        print_error(f"The result was not saved: {error}")
        return False
    return True
