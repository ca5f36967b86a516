"""The commands `backup` and `restore`."""

import shlex
import uuid
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topo_pipeline.cli import arguments
from topo_pipeline.cli.console import (
    PATIENCE,
    err,
    fail,
    get_settings,
    get_warehouse,
    now,
    out,
    print_warning,
    program,
    quiet,
    relative,
    report_errors,
)
from topo_pipeline.cli.signals import undone_by_signals
from topo_pipeline.topo_api.errors import TopoError, TopoUnavailable
from topo_pipeline.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from topo_pipeline.maintenance.copies import Restored
    from topo_pipeline.settings import Settings
    from topo_pipeline.warehouse.connection import Warehouse

BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup, which is a folder for a shared lake.")]


def backup(file: BackupFile) -> None:
    """Copy the warehouse to a file and verify the copy. The backup of a shared lake is a folder.

    Other programs can keep running.

    \b
    Examples:
      topo-pipeline backup /backups/topo-2026-03-31.duckdb
    """
    with report_errors(), undone_by_signals(file):
        from topo_pipeline.maintenance import backups

        with err.status("Copying the warehouse and checking the copy"):
            about = backups.backup(get_warehouse(), file.absolute())
        size = sum(each.stat().st_size for each in (file, *file.rglob("*")) if each.is_file())
    out.say(f"{file}: {size / 1e6:,.1f} MB, {_until(about.last_day)}.")


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
        from topo_pipeline.maintenance import backups

        settings, warehouse = get_settings(), get_warehouse()
        backups.require_supported(warehouse)
        with undone_by_signals(warehouse.name, warehouse.place.identity):
            _restore(settings, warehouse, file, yes=yes)


def _restore(settings: "Settings", warehouse: "Warehouse", file: Path, *, yes: bool) -> None:
    from topo_pipeline.maintenance import backups

    chosen = file.absolute()
    about = backups.look(chosen)
    if about.organization_id:
        _refuse_another_organization(settings, file, about.organization_id)
    _require_no_runs(settings)
    if not yes:
        arguments.confirm(f"Restore {file} ({_until(about.last_day)}) as {relative(warehouse.name)}?", "restored")
    with err.status("Restoring"):
        restored = backups.restore(
            warehouse,
            chosen,
            timezone=settings.timezone,
            rules=settings.rules,
            now=now(),
            require_quiet=lambda: _require_no_runs(settings),
        )
    _report(restored, relative(warehouse.name))


def _refuse_another_organization(settings: "Settings", file: Path, organization_id: uuid.UUID) -> None:
    """Exit if the backup is known to belong to another organization than the settings."""
    from topo_pipeline.settings import Settings, of_organizations

    topo = _Topo()
    held = _held_by(settings)
    own = topo.owner_of_key(settings) if isinstance(held, str) else held
    if own == organization_id:
        return
    others = {name: each for name, each in (of_organizations() or {}).items() if isinstance(each, Settings)}
    others.pop(settings.organization or "", None)
    for name, other in others.items():
        theirs = _held_by(other)
        if organization_id in {theirs, topo.owner_of_key(other) if isinstance(theirs, str) else None}:
            command = shlex.join(["--organization", name, "restore", str(file)])
            fail(
                f"{file} is a backup of {name}, not of {settings.organization}. Nothing was changed."
                f" To restore it: {program()} {command}"
            )
    key = settings.key_variable
    if isinstance(own, str):
        print_warning(f"It is unknown whether {file} belongs to this organization. {held} {own}")
    elif isinstance(held, str):
        fail(
            f"{file} is a backup of organization {organization_id}, but {key} is a key of organization {own}."
            f" Nothing was changed. To restore it, set {key} to a key of its organization."
        )


def _held_by(settings: "Settings") -> uuid.UUID | str:
    """Return the organization of the warehouse, or a sentence that says why it is unknown."""
    from topo_pipeline.maintenance.copies import organization_of
    from topo_pipeline.warehouse.connection import Warehouse

    warehouse = Warehouse.of(settings, wait_seconds=PATIENCE)
    try:
        if not warehouse.exists():
            return "There is no warehouse to compare it with."
        return organization_of(warehouse) or "The warehouse does not name its organization."
    except WarehouseError as error:
        return _sentence(error)


class _Topo:
    """Topo, which is not asked again after it did not answer."""

    _outage = ""

    def owner_of_key(self, settings: "Settings") -> uuid.UUID | str:
        """Return the organization that the key belongs to, or a sentence that says why it is unknown."""
        from topo_pipeline.defs.resources import Topo
        from topo_pipeline.ingest.session import owner_of_key
        from topo_pipeline.settings import SettingsError

        if self._outage:
            return self._outage
        try:
            with quiet(), err.status("Asking Topo which organization the key belongs to"):
                owner = owner_of_key(Topo(settings, now).client)
        except TopoUnavailable as error:
            self._outage = _sentence(error)
            return self._outage
        except (SettingsError, TopoError) as error:
            return _sentence(error)
        return owner or f"Topo does not say which organization {settings.key_variable} belongs to."


def _sentence(error: Exception) -> str:
    return f"{str(error).removesuffix('.')}."


def _require_no_runs(settings: "Settings") -> None:
    """Exit if a run is in progress: it would write its next days to the restored warehouse."""
    from topo_pipeline.defs.run_maintenance import fail_orphaned_runs
    from topo_pipeline.orchestration.instance import opened, prepare, require_no_runs_under_way

    prepare(settings.dagster_home)
    with opened(settings.dagster_home) as instance:
        fail_orphaned_runs(instance, settings)
        require_no_runs_under_way(instance, settings)


def _report(restored: "Restored", warehouse: str) -> None:
    lines = [f"{warehouse} is restored: {_until(restored.about.last_day)}."]
    if restored.replaced:
        previous = relative(str(restored.replaced))
        lines.append(f"The previous warehouse is now {previous}. Delete it when you no longer need it.")
    if restored.erased.activities or restored.erased.changes or restored.erased.rejects:
        lines.append(f"Activities of people erased since the backup, removed again: {restored.erased.activities:,}.")
    if restored.erasures_unknown:
        lines.append("It is unknown who was erased since the backup. Erase them again: topo-pipeline forget PERSON_ID")
    yesterday = arguments.day("yesterday")
    if restored.about.last_day and restored.about.last_day < yesterday:
        first = restored.about.last_day + timedelta(days=1)
        lines.append(f"To read the days since then: topo-pipeline backfill {first} {yesterday}")
    out.say("\n".join(lines))


def _until(last_day: date | None) -> str:
    return f"days up to {last_day}" if last_day else "no days landed"
