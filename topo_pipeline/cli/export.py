"""The command `export`."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer

from topo_pipeline.cli import arguments
from topo_pipeline.cli.console import err, fail, get_settings, get_warehouse, now, out, report_errors
from topo_pipeline.cli.signals import undone_by_signals
from topo_pipeline.cli.workspace import Demo
from topo_pipeline.common.text import counted


def export(
    table: Annotated[
        str | None, typer.Argument(metavar="TABLE", help="For example sequence_summary or topo.loads.")
    ] = None,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Write every table as Parquet, as publish/parquet does.")
    ] = False,
    form: Annotated[Literal["csv", "parquet"], typer.Option("--format", help="File format.")] = "csv",
    since: Annotated[str | None, typer.Option(metavar="DAY", help="First day to export.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="File to write or replace.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Don't escape formulas. For CSV only.")] = False,
    demo: Demo = False,
) -> None:
    """Export a table to a file, or as CSV to a pipe. Or every table, for BI tools.

    In CSV, text that a spreadsheet would treat as a formula (it starts with =, +, - or @) is prefixed with '.

    \b
    Examples:
      topo-pipeline export sequence_daily --since 2026-03-01 > daily.csv
      topo-pipeline export topo.activities --format parquet --output activities.parquet
      topo-pipeline export --all
    """
    if every:
        if table or since or output or raw:
            fail("--all writes every table as Parquet below TOPO_REPORT_DIR and takes no table and no other option.", 2)
        return _export_all()
    if table is None:
        fail("Name a table, for example sequence_summary, or use --all.", 2)
    if raw and form == "parquet":
        fail("--raw applies to CSV only: Parquet is never escaped. Run the command again without it.", 2)
    with report_errors(), undone_by_signals(output):
        from topo_pipeline.exports.tables import export as export_table

        first = arguments.day(since) if since else None
        write = partial(export_table, get_warehouse(), table, form=form, since=first, raw=raw)
        if output:
            rows = write(output.absolute())
            err.print(f"{counted(rows, 'row')} written to {output}", markup=False)
            return None
        if form == "parquet" or sys.stdout.isatty():
            why = "Parquet is written to a file only" if form == "parquet" else "CSV is not printed to a terminal"
            name = shlex.quote(table)
            fail(f"{why}. Run: topo-pipeline export {name} --format {form} --output {name}.{form}", 2)
        content = _written(write)
    with report_errors(), content:
        _write_to_stdout(content)
    return None


def _written(write: Callable[[Path], object]) -> BinaryIO:
    """Write to a temporary file and return it, opened. A slow reader of a pipe would keep the warehouse locked."""
    from topo_pipeline.warehouse.files import temporary, temporary_folder

    with temporary_folder(temporary(), "exporting") as folder:
        write(folder / "table.csv")
        return (folder / "table.csv").open("rb")  # stays readable after the folder is removed


def _export_all() -> None:
    """Write every table as Parquet and print the folder of the newest export."""
    with report_errors(), err.status("Writing every table"):
        from topo_pipeline.exports.parquet import LATEST, export_all

        done = export_all(get_warehouse(), get_settings().report_dir / "parquet", now=now())
    err.print(f"{counted(done.tables, 'table')} and {counted(done.rows, 'row')} written to")
    out.say(str(done.folder.with_name(LATEST)))


def _write_to_stdout(content: BinaryIO) -> None:
    try:
        shutil.copyfileobj(content, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
