"""The Dagster instance: one home for the UI, the daemon and the command line, and whose runs are under way in it."""

import importlib.resources
import math
import os
import socket
from pathlib import Path

import dagster as dg
import psutil

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
        WarehouseError: one of its files is not a regular file.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    _copy("dagster.yaml", home, replace=False)
    os.environ["DAGSTER_HOME"] = str(home)
    return _copy("workspace.yaml", home, replace=True)


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
        host, _, process = run.tags.get(_OWNER, "").partition(":")
        pid, _, owned = process.partition(":")
        is_ours = host == socket.gethostname() and owned == run.run_id
        if is_ours and not _is_alive(int(pid), record.start_time or math.inf):
            if run.status == dg.DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, "Its process is gone.")
            else:
                instance.report_run_failed(run, "Its process was killed.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            buried.append(run.run_id)
    return buried


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
