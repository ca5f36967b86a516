"""`export`, `backup` and `restore`: what leaves the warehouse, and the way back."""

import os
import shutil
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import typer

from topo_pipeline.cli import arguments
from topo_pipeline.cli.console import clear_errors, err, fail, now, out, relative
from topo_pipeline.cli.stopping import undone_by_signals
from topo_pipeline.settings import Settings, get_settings

if TYPE_CHECKING:
    from topo_pipeline.maintenance.backups import Restored

AFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


def export(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Such as sequence_summary or topo.loads.")],
    form: Annotated[Literal["csv", "parquet"], typer.Option("--format", help="What to write.")] = "csv",
    since: Annotated[str | None, typer.Option(metavar="DAY", help="Leave out earlier days.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to; replaced if it is there.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Don't quote formulas in a CSV.")] = False,
) -> None:
    """Write one table, every column of it, to a file, or as CSV into a pipe.

    In a CSV, text that a spreadsheet would treat as a formula (it starts with =, +, - or @) is prefixed with '.

    \b
    Examples:
      topo-pipeline export sequence_daily --since 2026-03-01 > daily.csv
      topo-pipeline export topo.activities --format parquet --output activities.parquet
    """
    with clear_errors(), undone_by_signals(output):
        from topo_pipeline.exports.tables import export as write
        from topo_pipeline.warehouse.connection import Warehouse
        from topo_pipeline.warehouse.files import folder_aside, temporary

        warehouse, first = Warehouse(get_settings().warehouse), arguments.day(since) if since else None
        if output:
            rows = write(warehouse, table, output.absolute(), form=form, since=first, raw=raw)
            err.print(f"{rows:,} rows in {output}", highlight=False, markup=False)
            return
        if form == "parquet" or sys.stdout.isatty():
            fail("Say where to: --output FILE, or for CSV a pipe.", 2)
        with folder_aside(temporary(), "exporting") as folder:
            # Not straight into the pipe: a slow reader would keep the warehouse from being written.
            aside = folder / "table.csv"
            write(warehouse, table, aside, form=form, since=first, raw=raw)
            whole = aside.open("rb")  # has its content although the folder is removed
    with clear_errors(), whole:
        _pour(whole)


def _pour(whole: BinaryIO) -> None:
    try:
        shutil.copyfileobj(whole, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader wants no more, such as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None


def backup(file: AFile) -> None:
    """Copy the warehouse, as it is at one moment, while others work, and check that the copy can be read.

    \b
    Examples:
      topo-pipeline backup /backups/topo-2026-03-31.duckdb
    """
    with clear_errors(), undone_by_signals(file):
        from topo_pipeline.maintenance import backups
        from topo_pipeline.warehouse.connection import Warehouse

        with err.status("Copying the warehouse and reading the copy"):
            about = backups.backup(Warehouse(get_settings().warehouse), file.absolute())
        size = file.stat().st_size
    out.print(f"{file}: {size / 1e6:,.1f} MB, {_until(about.last_day)}.", highlight=False, markup=False, soft_wrap=True)


def restore(
    file: AFile,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Put a backup in the warehouse's place; what is there is kept beside, under another name.

    Whoever was forgotten since the backup was made is erased from it first.

    \b
    Examples:
      topo-pipeline restore /backups/topo-2026-03-31.duckdb
    """
    with clear_errors():
        from topo_pipeline.warehouse.connection import Warehouse

        settings = get_settings()
        with undone_by_signals(Warehouse(settings.warehouse).path):
            _restore(settings, file, yes=yes)


def _restore(settings: Settings, file: Path, *, yes: bool) -> None:
    from topo_pipeline.maintenance import backups
    from topo_pipeline.warehouse.connection import Warehouse

    chosen = file.absolute()
    about = backups.look(chosen)
    _make_sure_nothing_runs(settings.dagster_home)
    if not yes:
        arguments.confirm(
            f"Put {file} ({_until(about.last_day)}) in the place of {relative(settings.warehouse)}?", "restored"
        )
    with err.status("Restoring"):
        restored = backups.restore(
            Warehouse(settings.warehouse),
            chosen,
            timezone=settings.timezone,
            rules=settings.rules,
            now=now(),
            require_quiet=lambda: _make_sure_nothing_runs(settings.dagster_home),
        )
    _tell(restored, relative(settings.warehouse))


def _make_sure_nothing_runs(home: Path) -> None:
    """A run that goes on would write its next days into what was restored, and Dagster's records would tell of both."""
    from topo_pipeline.instance import bury_the_dead, make_sure_nothing_runs, opened, prepare

    prepare(home)
    with opened(home) as instance:
        bury_the_dead(instance)
        make_sure_nothing_runs(instance)


def _tell(restored: "Restored", warehouse: str) -> None:
    said = [f"{warehouse} is restored: {_until(restored.about.last_day)}."]
    if restored.replaced:
        said.append(f"What was there is {relative(str(restored.replaced))} now: delete it when you are sure.")
    if restored.erased.activities or restored.erased.changes or restored.erased.rejects:
        said.append(f"Erased of people who were forgotten since: {restored.erased.activities} activities.")
    if restored.forgot_nobody:
        said.append("Who was forgotten since the backup is not known here: forget them again.")
    yesterday = now().astimezone(get_settings().zone).date() - timedelta(days=1)
    if restored.about.last_day and restored.about.last_day < yesterday:
        first = restored.about.last_day + timedelta(days=1)
        said.append(f"Read the days since: topo-pipeline backfill {first} {yesterday}")
    out.print("\n".join(said), highlight=False, markup=False, soft_wrap=True)


def _until(last_day: date | None) -> str:
    return f"days up to {last_day}" if last_day else "no day landed"
