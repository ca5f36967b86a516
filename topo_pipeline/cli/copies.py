"""The commands `export`, `backup` and `restore`."""

import os
import shlex
import shutil
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import typer

from topo_pipeline.cli import arguments
from topo_pipeline.cli.console import err, fail, now, out, relative, report_errors
from topo_pipeline.cli.stopping import undone_by_signals
from topo_pipeline.settings import Settings, get_settings

if TYPE_CHECKING:
    from topo_pipeline.maintenance.backups import Restored

BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup file.")]


def export(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="For example sequence_summary or topo.loads.")],
    form: Annotated[Literal["csv", "parquet"], typer.Option("--format", help="File format.")] = "csv",
    since: Annotated[str | None, typer.Option(metavar="DAY", help="First day to export.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="File to write or replace.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Don't escape formulas in CSV.")] = False,
) -> None:
    """Export a table with all its columns to a file, or as CSV to a pipe.

    In CSV, text that a spreadsheet would treat as a formula (it starts with =, +, - or @) is prefixed with '.

    \b
    Examples:
      topo-pipeline export sequence_daily --since 2026-03-01 > daily.csv
      topo-pipeline export topo.activities --format parquet --output activities.parquet
    """
    with report_errors(), undone_by_signals(output):
        from topo_pipeline.exports.tables import export as write
        from topo_pipeline.warehouse.connection import Warehouse
        from topo_pipeline.warehouse.files import temporary, temporary_folder

        warehouse, first = Warehouse(get_settings().warehouse), arguments.day(since) if since else None
        if output:
            rows = write(warehouse, table, output.absolute(), form=form, since=first, raw=raw)
            err.print(f"{rows:,} rows written to {output}", highlight=False, markup=False)
            return
        if form == "parquet" or sys.stdout.isatty():
            why = "Parquet is written to a file only" if form == "parquet" else "CSV is not printed to a terminal"
            name = shlex.quote(table)
            fail(f"{why}. Run: topo-pipeline export {name} --format {form} --output {name}.{form}", 2)
        with temporary_folder(temporary(), "exporting") as folder:
            # Not directly to the pipe: a slow reader would keep the warehouse locked.
            copy = folder / "table.csv"
            write(warehouse, table, copy, form=form, since=first, raw=raw)
            content = copy.open("rb")  # stays readable after the folder is removed
    with report_errors(), content:
        _write_to_stdout(content)


def _write_to_stdout(content: BinaryIO) -> None:
    try:
        shutil.copyfileobj(content, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None


def backup(file: BackupFile) -> None:
    """Write a consistent copy of the warehouse to a file and check that it can be read.

    Other programs can keep running.

    \b
    Examples:
      topo-pipeline backup /backups/topo-2026-03-31.duckdb
    """
    with report_errors(), undone_by_signals(file):
        from topo_pipeline.maintenance import backups
        from topo_pipeline.warehouse.connection import Warehouse

        with err.status("Copying the warehouse and checking the copy"):
            about = backups.backup(Warehouse(get_settings().warehouse), file.absolute())
        size = file.stat().st_size
    out.print(f"{file}: {size / 1e6:,.1f} MB, {_until(about.last_day)}.", highlight=False, markup=False, soft_wrap=True)


def restore(
    file: BackupFile,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")] = False,
) -> None:
    """Replace the warehouse with a backup. The current warehouse is kept under another name.

    People who were erased since the backup was made are erased from it first.

    \b
    Examples:
      topo-pipeline restore /backups/topo-2026-03-31.duckdb
    """
    with report_errors():
        from topo_pipeline.warehouse.connection import Warehouse

        settings = get_settings()
        with undone_by_signals(Warehouse(settings.warehouse).path):
            _restore(settings, file, yes=yes)


def _restore(settings: Settings, file: Path, *, yes: bool) -> None:
    from topo_pipeline.maintenance import backups
    from topo_pipeline.warehouse.connection import Warehouse

    chosen = file.absolute()
    about = backups.look(chosen)
    _require_no_runs(settings.dagster_home)
    if not yes:
        arguments.confirm(f"Restore {file} ({_until(about.last_day)}) as {relative(settings.warehouse)}?", "restored")
    with err.status("Restoring"):
        restored = backups.restore(
            Warehouse(settings.warehouse),
            chosen,
            timezone=settings.timezone,
            rules=settings.rules,
            now=now(),
            require_quiet=lambda: _require_no_runs(settings.dagster_home),
        )
    _report(restored, relative(settings.warehouse))


def _require_no_runs(home: Path) -> None:
    """Exit if a run is in progress: it would write its next days to the restored warehouse."""
    from topo_pipeline.defs.run_maintenance import fail_orphaned_runs
    from topo_pipeline.orchestration.instance import opened, prepare, require_no_runs_under_way

    prepare(home)
    with opened(home) as instance:
        fail_orphaned_runs(instance)
        require_no_runs_under_way(instance)


def _report(restored: "Restored", warehouse: str) -> None:
    lines = [f"{warehouse} is restored: {_until(restored.about.last_day)}."]
    if restored.replaced:
        previous = relative(str(restored.replaced))
        lines.append(f"The previous warehouse is now {previous}. Delete it when you no longer need it.")
    if restored.erased.activities or restored.erased.changes or restored.erased.rejects:
        lines.append(f"Activities of people erased since the backup, removed again: {restored.erased.activities:,}.")
    if restored.erasures_unknown:
        lines.append("It is unknown who was erased since the backup. Erase them again: topo-pipeline forget PERSON_ID")
    yesterday = now().astimezone(get_settings().zone).date() - timedelta(days=1)
    if restored.about.last_day and restored.about.last_day < yesterday:
        first = restored.about.last_day + timedelta(days=1)
        lines.append(f"To read the days since then: topo-pipeline backfill {first} {yesterday}")
    out.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _until(last_day: date | None) -> str:
    return f"days up to {last_day}" if last_day else "no days landed"
