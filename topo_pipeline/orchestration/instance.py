"""The Dagster instance: one home for the UI, the daemon and the command line.

Run as a module, this prepares the home: `python -m topo_pipeline.orchestration.instance`.
"""

import os
import re
import shlex
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.instance import InstanceRef
from sqlalchemy.exc import SQLAlchemyError

from topo_pipeline.common.text import first_line
from topo_pipeline.defs import names
from topo_pipeline.defs.run_maintenance import UNFINISHED, process_of
from topo_pipeline.orchestration.errors import AlreadyReading, HomeUnusable, UnderWay
from topo_pipeline.orchestration.event_log import with_open_databases
from topo_pipeline.settings import Settings, base_settings, of_organizations
from topo_pipeline.templates import copy, workspace, write

# One step at a time reads Topo, and one writes the warehouse.
POOLS = ("topo_api", "warehouse")


def prepare(home: Path) -> Path:
    """Make `home` a Dagster home if it isn't one, and set DAGSTER_HOME. An existing dagster.yaml is kept.

    The workspace file has a code location for each of several organizations, also for those whose settings can't be
    used: their locations say why.

    A new home is private: run logs and Dagster's records may quote data from Topo. A pool without any limit gets 1:
    on Postgres dagster.yaml must have no default limit, because runs that apply it at the same time fail (Dagster
    #33552).

    Returns:
        The workspace file for Dagster's services. Run them in a folder without a `.env` file, because Dagster lets
        `.env` override the environment.

    Raises:
        OSError: the folder can't be created or written.
        SettingsError: the file of organizations can't be used.
        HomeUnusable: Dagster can't open it.
        WarehouseError: one of its files is not a regular file.
    """
    organizations = [*(of_organizations() or ())]
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    copy("dagster.yaml", home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)
    write(workspace(organizations), home / "workspace.yaml")
    with opened(home) as instance:  # creates its databases: two services that create them at the same time damage them
        for pool, limit in pool_limits(instance, organizations).items():
            if limit is None:
                instance.event_log_storage.set_concurrency_slots(pool, 1)
    return home / "workspace.yaml"


def pool_limits(instance: dg.DagsterInstance, organizations: Collection[str] = ()) -> dict[str, int | None]:
    """Return how many steps each pool allows at a time: its own limit, or else the default, which may be missing."""
    default = instance.get_concurrency_config().pool_config.default_pool_limit
    own = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits() if not pool.from_default}
    pools = [f"{pool}_{name}" for name in organizations for pool in POOLS] or POOLS
    return {pool: own.get(pool, default) for pool in pools}


@contextmanager
def opened(home: Path) -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance in `home`.

    Raises:
        HomeUnusable: its dagster.yaml or one of its databases can't be used, on opening or later.
    """
    with ExitStack() as stack:
        try:
            ref = with_open_databases(InstanceRef.from_dir(str(home)))
            instance = stack.enter_context(dg.DagsterInstance.from_ref(ref))
            instance.event_log_storage.get_maximum_record_id()  # opening the instance reads all others
        except Exception as error:  # noqa: BLE001 - of YAML, SQLite, the file system and four Dagster classes
            raise _unusable(home, error) from None
        try:
            yield instance
        except SQLAlchemyError as error:
            raise _unusable(home, error) from None


def _unusable(home: Path, error: Exception) -> HomeUnusable:
    """Return an error that names the file at fault."""
    if isinstance(error, SQLAlchemyError):
        for file in sorted(home.rglob("*.db")):
            if fault := _fault_of_database(file):
                do = f"mv {shlex.quote(str(file))} {shlex.quote(f'{file}.damaged')}"
                return HomeUnusable(
                    f"Dagster's records in {file} can't be read ({fault}).",
                    f"The landed days are in the warehouse. Move the file away and check: {do} && topo-pipeline doctor",
                )
        reason = getattr(error, "orig", error)
        return HomeUnusable(f"Dagster's records in {home} can't be used ({reason}).", "Fix the cause and try again.")
    if isinstance(error, OSError) and error.filename:
        return HomeUnusable(f"{error.filename} can't be used ({error.strerror}).", "Move it away and try again.")
    reason = str(error).strip()
    if found := re.search(r"^\s*Error 1: (.*?)(?: Expected: |$)", reason, re.MULTILINE):
        reason = found[1]  # an invalid setting; Dagster's list of what it expects fills pages
    reason = re.sub(r"^Failure condition: |, instead got.*", "", first_line(reason))
    return HomeUnusable(
        f"{home / 'dagster.yaml'} can't be used ({reason.rstrip('.')}).",
        "Correct it, or move it away. The next topo-pipeline backfill or topo-pipeline dev writes a new one.",
    )


def _fault_of_database(file: Path) -> str | None:
    if not file.is_file():
        return "it is not a file"
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return None if "locked" in str(error) else str(error)
    return None if found == "ok" else first_line(found)


def require_no_runs_under_way(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Raise an error if a run is in progress.

    Raises:
        UnderWay: a run is in progress.
    """
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        if names.is_own(settings, run):
            raise UnderWay(f"Run {run.run_id.partition('-')[0]} is in progress. {_how_to_stop(run)}")


def require_no_reader(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Raise an error instead of waiting for another reader.

    Raises:
        AlreadyReading: a run holds the slot of pool `topo_api`.
    """
    for slot in instance.event_log_storage.get_concurrency_info(names.pool(settings, "topo_api")).claimed_slots:
        run = instance.get_run_by_id(slot.run_id)
        raise AlreadyReading(f"Run {slot.run_id.partition('-')[0]} is reading Topo. {_how_to_stop(run)}")


def _how_to_stop(run: dg.DagsterRun | None) -> str:
    """Return what to do about a run that is in progress. Its process is named if it runs on this machine."""
    process = process_of(run) if run else None
    end_it = f" or end its process {process} (kill {process})" if process else ""
    return f"Wait for it to end, or stop it in Dagster's UI (topo-pipeline dev){end_it}."


if __name__ == "__main__":
    prepare(base_settings().dagster_home)
