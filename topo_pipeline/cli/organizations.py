"""The command `organizations`."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import rich.box
import typer
from rich.markup import escape
from rich.table import Table

from topo_pipeline.cli.console import (
    PATIENCE,
    AsJson,
    fail,
    now,
    out,
    print_warning,
    quiet,
    relative,
    report_errors,
    show_json,
)
from topo_pipeline.common.commands import pasteable, written_for
from topo_pipeline.common.text import counted
from topo_pipeline.days import last_due_day
from topo_pipeline.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from topo_pipeline.settings import Settings, SettingsError


@dataclass(frozen=True)
class _Organization:
    """One line of the list."""

    name: str
    warehouse: str | None
    complete: str | None
    activities: int | None
    status: str


def organizations(
    write: Annotated[
        bool,
        typer.Option("--write", help="Write workspace.yaml, with a code location for each, and prepare DAGSTER_HOME."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the organizations in organizations.toml, and how far each has been read.

    Exits with 1 if the settings of an organization can't be used, or its key is not set. With --write, that is a
    warning. The workspace file then lists this organization too. Its code location reports what is wrong, and those of
    the others work.

    \b
    Examples:
      topo-pipeline organizations
      topo-pipeline organizations --write
    """
    with report_errors(), quiet():
        from topo_pipeline.settings import base_settings, of_organizations

        base = base_settings()
        file, found = base.organizations_file, of_organizations(base)
        if file is None or found is None:
            fail("There is no organizations.toml. The documentation says what it contains: docs/scale.md")
        if place := _unused_warehouse(base, found.values()):
            print_warning(
                f"{relative(place)} is the warehouse of no organization. If it is that of one, set its warehouse."
            )
        listed = [_listed(name, settings) for name, settings in found.items()]
        if write:
            from topo_pipeline.orchestration.instance import prepare
            from topo_pipeline.templates import workspace
            from topo_pipeline.templates import write as write_file

            prepare(base.dagster_home)
            target = file.with_name("workspace.yaml")
            write_file(workspace(found), target)
    if as_json:
        show_json([vars(each) for each in listed])
    else:
        _show(listed)
        if write:
            out.say(f"Written: {relative(str(target))}. Dagster's own commands use it: dagster dev -w workspace.yaml")
    unusable = [each for each in listed if not _can_be_read(found[each.name])]
    if write:
        for each in unusable:
            print_warning(f"workspace.yaml lists {each.name} too, but it can't be read from Topo yet. {each.status}")
    elif unusable:
        raise typer.Exit(1)


def _can_be_read(settings: "Settings | SettingsError") -> bool:
    from topo_pipeline.settings import Settings

    return isinstance(settings, Settings) and settings.api_key is not None


def _unused_warehouse(base: "Settings", found: "Iterable[Settings | SettingsError]") -> str | None:
    """Return the file that was the warehouse before there were several organizations, if none of them uses it."""
    from topo_pipeline.settings import LAKE, Settings

    used = {Path(each.warehouse.removeprefix(LAKE)) for each in found if isinstance(each, Settings)}
    file = Path(base.warehouse.removeprefix(LAKE))
    return str(file) if file.exists() and file not in used else None


def _listed(name: str, settings: "Settings | SettingsError") -> _Organization:
    """Return the line of an organization, with commands and settings as this one needs them."""
    from topo_pipeline.settings import Settings

    with written_for(name, settings.sources if isinstance(settings, Settings) else None):
        line = _look_at(name, settings)
        return replace(line, status=pasteable(line.status))


def _look_at(name: str, settings: "Settings | SettingsError") -> _Organization:
    from topo_pipeline.settings import SettingsError
    from topo_pipeline.warehouse.connection import Warehouse
    from topo_pipeline.warehouse.ledger import ledger_status

    if isinstance(settings, SettingsError):
        return _Organization(name, None, None, None, str(settings))
    place = None
    try:
        warehouse = Warehouse.of(settings, wait_seconds=PATIENCE)
        place = warehouse.name
        if not warehouse.exists():
            return _Organization(name, place, None, 0, _sentences(settings, "No day has landed yet."))
        with warehouse.reader() as connection:
            days = ledger_status(connection, last_due_day(now(), settings.zone))
    except WarehouseError as error:
        return _Organization(name, place, None, None, str(error))
    missing = {*days.missing, *days.unclosed}
    status = f"{counted(len(missing), 'day')} missing." if missing else "No day is missing."
    complete = str(days.complete) if days.complete else None
    return _Organization(name, place, complete, days.activities, _sentences(settings, status))


def _sentences(settings: "Settings", status: str) -> str:
    return status if settings.api_key else f"{settings.key_variable} is not set. {status}"


def _show(listed: list[_Organization]) -> None:
    table = Table(box=rich.box.SIMPLE_HEAD if out.is_terminal else None)
    for heading in ("Organization", "Complete up to", "Activities", "Status"):
        table.add_column(heading, no_wrap=heading != "Status")
    for each in listed:
        row: list[Any] = [each.name, each.complete or "–", "–" if each.activities is None else f"{each.activities:,}"]
        table.add_row(*row, escape(each.status))
    out.print(table)
