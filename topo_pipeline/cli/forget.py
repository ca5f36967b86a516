"""The command `forget`, which erases a person."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topo_pipeline.cli import arguments
from topo_pipeline.cli.console import err, get_settings, get_warehouse, now, out, print_error, relative, report_errors
from topo_pipeline.cli.report import write_report
from topo_pipeline.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from topo_pipeline.maintenance.forget import ErasureResult
    from topo_pipeline.settings import Settings
    from topo_pipeline.warehouse.connection import Warehouse
    from topo_pipeline.warehouse.erasure import Trace


def forget(
    person_id: Annotated[str, typer.Argument(metavar="PERSON_ID", help="Topo's id of the contact.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")] = False,
) -> None:
    """Erase a person permanently.

    Removes the person from activities, change history, unreadable rows, tables, the Parquet export, published tables
    and replaced warehouses.

    A keyed hash of the id is kept so that later loads leave the person out. Running the command again is safe.

    \b
    Example:
      topo-pipeline forget 0b9c4a52-6f0e-4c5b-9d5e-2f6f3c1d7a10
    """
    with report_errors():
        from topo_pipeline.maintenance import forget as forgetting
        from topo_pipeline.report.page import FILE_NAME

        person, settings = arguments.person(person_id), get_settings()
        warehouse, report = get_warehouse(), settings.report_dir / FILE_NAME
        if not yes:
            found = _counts(forgetting.trace(warehouse, person))
            question = f"Erase {person} from {relative(warehouse.name)} ({found})? This can't be undone."
            arguments.confirm(question, "erased")
        with err.status("Erasing, rebuilding the tables and rewriting the files"):
            done = forgetting.forget(
                warehouse,
                person,
                exports=settings.report_dir / "parquet",
                report=report,
                timezone=settings.timezone,
                rules=settings.rules,
                now=now(),
            )
            not_published = _publish_again(warehouse, settings)
        cleaned = [*done.cleaned, *([write_report().path] if report.exists() else [])]
    _print_outcome(done, cleaned, warehouse.place.unreachable_copies())
    for reason in not_published:
        print_error(f"A published copy may still contain the person. {reason}. Run the same command again.")
    if done.remaining or not_published:
        raise typer.Exit(1)


def _print_outcome(done: "ErasureResult", cleaned: list[Path | str], unreachable: str) -> None:
    """Print what was erased, and what may still contain the person."""
    lines = [f"Erased ({_counts(done.trace)}). Later loads leave the person out."]
    lines += [f"Also cleaned: {relative(str(path))}" for path in cleaned]
    if unreachable:
        lines.append(unreachable)
    lines.append("Backups and files that were exported or copied elsewhere are not cleaned. Delete them yourself.")
    out.say("\n".join(lines))
    for path, reason in done.remaining:
        left = relative(str(path))
        how = f": rm -r {shlex.quote(left)}" if Path(left).exists() else ""  # not a schema of Postgres
        print_error(f"{left} may still contain the person ({reason}). Delete it{how}")


def _publish_again(warehouse: "Warehouse", settings: "Settings") -> list[str]:
    """Publish to every target without the person. Return why it failed, for each target where it did."""
    from topo_pipeline.exports.targets import publish, target_of

    failed = []
    for name in settings.targets:
        try:
            publish(warehouse, target_of(name, settings), now=now(), keep_last=False)
        except WarehouseError as error:
            failed.append(str(error))
    return failed


def _counts(trace: "Trace") -> str:
    return (
        f"activities: {trace.activities}, earlier versions: {trace.changes}, unreadable rows: {trace.rejects},"
        f" sequence runs: {trace.runs}"
    )
