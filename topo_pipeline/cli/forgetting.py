"""`forget`: a person erased, after a question."""

from typing import TYPE_CHECKING, Annotated

import typer

from topo_pipeline.cli import arguments
from topo_pipeline.cli.console import clear_errors, err, now, out, relative
from topo_pipeline.settings import get_settings

if TYPE_CHECKING:
    from topo_pipeline.warehouse.forgetting import Trace


def forget(
    person_id: Annotated[str, typer.Argument(metavar="PERSON_ID", help="Topo's id of the contact.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Erase a person for good.

    From activities, change history, unreadable rows and tables.

    A keyed hash of the id stays, so that no later reading brings the person back.

    \b
    Example:
      topo-pipeline forget 0b9c4a52-6f0e-4c5b-9d5e-2f6f3c1d7a10
    """
    with clear_errors():
        from topo_pipeline import forget as forgetting
        from topo_pipeline.exports.parquet import LATEST, export_all
        from topo_pipeline.warehouse.connection import Warehouse

        person, settings = arguments.person(person_id), get_settings()
        warehouse = Warehouse(settings.warehouse)
        if not yes:
            found = _told(forgetting.trace(warehouse, person))
            question = f"Erase {person} from {relative(settings.warehouse)} ({found})? It can't be undone."
            arguments.confirm(question, "erased")
        with err.status("Erasing, building the tables anew, rewriting the file"):
            erased = forgetting.forget(warehouse, person, timezone=settings.timezone, rules=settings.rules, now=now())
        out.print(
            f"Erased ({_told(erased)}). Later readings leave the person out.\n"
            "Reports, backups and copies that were made before are not touched: delete them yourself.",
            highlight=False,
        )
        exports = settings.report_dir / "parquet"
        if (exports / LATEST).exists():
            with err.status("Writing the Parquet export anew"):
                export_all(warehouse, exports, now=now(), keep_last=False)
            out.print("The Parquet export is written anew without the person.")


def _told(trace: "Trace") -> str:
    return (
        f"activities: {trace.activities}, earlier versions: {trace.changes}, unreadable rows: {trace.rejects},"
        f" runs: {trace.runs}"
    )
