"""The Dagster instance: one home for the UI, the daemon and the command line, and whose runs are under way in it."""

import importlib.resources
import math
import os
import re
import shlex
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import dagster as dg
import psutil
from sqlalchemy.exc import SQLAlchemyError

from topo_pipeline.warehouse.files import replacing

# Whose process a run is: one that is killed leaves its run "started" and its place in the pool taken for ever.
_OWNER = "topo_pipeline/owner"
UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
# Seconds by which the system's account of when a process began may be off.
_CLOCKS_DIFFER = 60


class HomeUnusable(Exception):
    """Dagster's home can't be used.

    Attributes:
        found: a sentence that names the file and the reason.
        do: a sentence that says what to do.
    """

    def __init__(self, found: str, do: str) -> None:
        super().__init__(f"{found} {do}")
        self.found, self.do = found, do


class UnderWay(Exception):
    """A run is under way, and what is asked for can't be done meanwhile."""


class AlreadyReading(UnderWay):
    """Another run reads Topo now: one reader a key."""


def prepare(home: Path) -> Path:
    """Make `home` a Dagster home where it isn't one and let Dagster find it; a dagster.yaml in it is left alone.

    A new home is private: run logs and Dagster's records may quote what was read.

    Returns:
        The workspace file for Dagster's services, which are better run elsewhere than beside a `.env`: Dagster would
        let it overrule the environment.

    Raises:
        OSError: the folder can't be made or written.
        HomeUnusable: Dagster can't open it.
        WarehouseError: one of its files is not a regular file.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    _copy("dagster.yaml", home, replace=False)
    os.environ["DAGSTER_HOME"] = str(home)
    workspace = _copy("workspace.yaml", home, replace=True)
    with opened(home):  # makes its databases: two services that begin to make them at once spoil them
        return workspace


@contextmanager
def opened(home: Path) -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance in `home`.

    Raises:
        HomeUnusable: its dagster.yaml or one of its databases can't be used, at once or while it is open.
    """
    with ExitStack() as stack:
        try:
            instance = stack.enter_context(dg.DagsterInstance.from_config(str(home)))
            instance.event_log_storage.get_maximum_record_id()  # the one database that is not opened before it is read
        except Exception as error:  # noqa: BLE001 - of YAML, SQLite, the file system and four of Dagster's own kinds
            raise _unusable(home, error) from None
        try:
            yield instance
        except SQLAlchemyError as error:
            raise _unusable(home, error) from None


def _unusable(home: Path, error: Exception) -> HomeUnusable:
    """Say which file is to blame."""
    if isinstance(error, SQLAlchemyError):
        for file in sorted(home.rglob("*.db")):
            if fault := _fault_of_database(file):
                do = f"mv {shlex.quote(str(file))} {shlex.quote(f'{file}.damaged')}"
                return HomeUnusable(
                    f"Dagster's records in {file} can't be read ({fault}).",
                    f"Move the file away ({do}) and run topo-pipeline doctor: the landed days are in the warehouse.",
                )
        reason = getattr(error, "orig", error)
        return HomeUnusable(f"Dagster's records in {home} can't be used ({reason}).", "Remove the cause and try again.")
    if isinstance(error, OSError) and error.filename:
        return HomeUnusable(f"{error.filename} can't be used ({error.strerror}).", "Move it away and try again.")
    reason = str(error).strip()
    if found := re.search(r"^\s*Error 1: (.*?)(?: Expected: |$)", reason, re.MULTILINE):
        reason = found[1]  # of a setting; what Dagster expects instead fills pages
    reason = re.sub(r"^Failure condition: |, instead got.*", "", reason.partition("\n")[0])
    return HomeUnusable(
        f"{home / 'dagster.yaml'} can't be used ({reason.rstrip('.')}).",
        "Correct it, or move it away: the next topo-pipeline backfill or dev writes a new one.",
    )


def _fault_of_database(file: Path) -> str | None:
    if not file.is_file():
        return "it is not a file"
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return None if "locked" in str(error) else str(error)
    return None if found == "ok" else str(found).partition("\n")[0]


def _copy(name: str, home: Path, *, replace: bool) -> Path:
    target = home / name
    template = (importlib.resources.files("topo_pipeline") / name).read_text(encoding="utf-8")
    if not target.exists() or (replace and target.read_text(encoding="utf-8") != template):
        with replacing(target) as new:
            new.write_text(template, encoding="utf-8")
    return target


def owner_tag(run_id: str) -> dict[str, str]:
    """The tag of a run that lives in this process. A re-execution is given its parent's: hence the id."""
    return {_OWNER: f"{socket.gethostname()}:{os.getpid()}:{run_id}"}


def bury_the_dead(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs whose process on this machine is gone, free the places they held, and return their ids."""
    buried = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED)):
        run = record.dagster_run
        pid = _process_of(run)
        if pid is not None and not _is_alive(pid, record.start_time or math.inf):
            if run.status == dg.DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, "Its process is gone.")
            else:
                instance.report_run_failed(run, "Its process was killed.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            buried.append(run.run_id)
    return buried


def _process_of(run: dg.DagsterRun) -> int | None:
    """Return the id of the run's process; None unless its tag says that it is on this machine."""
    here = f"{re.escape(socket.gethostname())}:([1-9][0-9]{{0,9}}):{re.escape(run.run_id)}"
    owner = re.fullmatch(here, run.tags.get(_OWNER, ""))
    return int(owner[1]) if owner else None


def _is_alive(pid: int, started: float) -> bool:
    """Whether the process of a run that started then is there, and not another one that has got its number since."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= started + _CLOCKS_DIFFER
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # somebody else's


def make_sure_nothing_runs(instance: dg.DagsterInstance) -> None:
    """Refuse to change the ground under a run.

    Raises:
        UnderWay: a run is under way.
    """
    for record in instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED), limit=1):
        raise UnderWay(
            f"Run {record.dagster_run.run_id.partition('-')[0]} is under way: wait for it to end, or stop it in"
            " Dagster's UI."
        )


def make_sure_nobody_reads(instance: dg.DagsterInstance) -> None:
    """Refuse to wait behind another reader.

    Raises:
        AlreadyReading: a run holds the place in pool `topo_api`.
    """
    if not instance.event_log_storage.supports_global_concurrency_limits:
        return
    for slot in instance.event_log_storage.get_concurrency_info("topo_api").claimed_slots:
        raise AlreadyReading(
            f"Run {slot.run_id.partition('-')[0]} is reading Topo: wait for it to end, or stop it in Dagster's UI."
        )


def program_of(process: int) -> str:
    """What a process runs, in a word or two, without its arguments: they may be anybody's secrets."""
    try:
        words = [Path(word).name for word in psutil.Process(process).cmdline()[:2]]
    except psutil.Error:
        return "a process that can't be looked at"
    is_script = len(words) > 1 and words[0].startswith("python") and not words[1].startswith("-")
    return words[is_script] if words else "a process without a name"
