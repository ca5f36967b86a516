"""`forget`: a person erased, after a question."""

from typing import TYPE_CHECKING, Annotated

import typer

from topo_pipeline.cli import arguments
from topo_pipeline.cli.console import clear_errors, complain, err, now, out, relative
from topo_pipeline.cli.looking import write_report
from topo_pipeline.settings import get_settings

if TYPE_CHECKING:
    from topo_pipeline.warehouse.forgetting import Trace


def forget(
    person_id: Annotated[str, typer.Argument(metavar="PERSON_ID", help="Topo's id of the contact.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Erase a person for good.

    From activities, change history, unreadable rows, tables, the Parquet export and replaced warehouses.

    A keyed hash of the id stays, so that no later reading brings the person back. To run it again does no harm.

    \b
    Example:
      topo-pipeline forget 0b9c4a52-6f0e-4c5b-9d5e-2f6f3c1d7a10
    """
    with clear_errors():
        from topo_pipeline.maintenance import forget as forgetting
        from topo_pipeline.report.page import FILE_NAME
        from topo_pipeline.warehouse.connection import Warehouse

        person, settings = arguments.person(person_id), get_settings()
        warehouse, report = Warehouse(settings.warehouse), settings.report_dir / FILE_NAME
        if not yes:
            found = _told(forgetting.trace(warehouse, person))
            question = f"Erase {person} from {relative(settings.warehouse)} ({found})? It can't be undone."
            arguments.confirm(question, "erased")
        with err.status("Erasing, building the tables anew, rewriting the files"):
            done = forgetting.forget(
                warehouse,
                person,
                exports=settings.report_dir / "parquet",
                report=report,
                timezone=settings.timezone,
                rules=settings.rules,
                now=now(),
            )
        cleaned = [*done.cleaned, *([write_report()] if report.exists() else [])]
    said = [f"Erased ({_told(done.trace)}). Later readings leave the person out."]
    said += [f"Cleaned too: {relative(str(path))}" for path in cleaned]
    said.append("Backups, and files that were exported or copied elsewhere, are not known here: delete them yourself.")
    out.print("\n".join(said), highlight=False, markup=False, soft_wrap=True)
    for path, reason in done.remaining:
        complain(f"{relative(str(path))} may still hold the person, delete it: {reason}")
    if done.remaining:
        raise typer.Exit(1)


def _told(trace: "Trace") -> str:
    return (
        f"activities: {trace.activities}, earlier versions: {trace.changes}, unreadable rows: {trace.rejects},"
        f" runs: {trace.runs}"
    )
