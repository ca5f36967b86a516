"""The Dagster home: whether it is ours, its runs, what was refused in them, and whether anything runs by itself."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from topo_pipeline.days import days_between, in_words, last_due_day
from topo_pipeline.doctor.agreement import compare_records
from topo_pipeline.doctor.finding import Finding, ok, problem, unknown, warning
from topo_pipeline.doctor.places import can_be_written
from topo_pipeline.settings import SettingsError
from topo_pipeline.warehouse.connection import Warehouse

if TYPE_CHECKING:
    import dagster as dg

    from topo_pipeline.settings import Settings

# The daemon gives a sign of life twice a minute.
_ALIVE = timedelta(minutes=5)


def look(settings: "Settings", warehouse: Warehouse, now: datetime) -> Iterator[Finding]:
    """Look at the home, and mark the runs in it whose process is gone as failed."""
    from topo_pipeline.instance import HomeUnusable

    home = settings.dagster_home
    if not can_be_written(home):
        yield problem("dagster home", f"{home} can't be written.", "Set DAGSTER_HOME to where this user may write.")
        yield unknown("automation", "there is no Dagster home")
        return
    if not home.exists():
        yield warning("dagster home", f"There is none at {home} yet.", "The first backfill, or make dev, makes it.")
        yield unknown("automation", "there is no Dagster home yet")
        return
    try:
        yield from _look_inside(settings, warehouse, now)
    except HomeUnusable as error:
        yield problem("dagster home", error.found, error.do)
        yield unknown("automation", "the Dagster home can't be used")


def _look_inside(settings: "Settings", warehouse: Warehouse, now: datetime) -> Iterator[Finding]:
    from topo_pipeline.instance import opened

    with opened(settings.dagster_home) as instance:
        yield _ours(instance, settings)
        yield _runs(instance)
        try:
            yield compare_records(instance, warehouse)
            yield _refused(instance, settings, now)
            yield _automation(instance, settings, now)
        except SettingsError:
            yield unknown("automation", "the settings can't be used")


def _ours(instance: "dg.DagsterInstance", settings: "Settings") -> Finding:
    home = settings.dagster_home
    file = home / "dagster.yaml"
    if not file.exists():
        do = "Put it there with the next backfill or make dev."
        return problem("dagster home", f"{home} has no dagster.yaml: two runs could read or write at once.", do)
    pools = instance.get_concurrency_config().pool_config
    granularity = pools.pool_granularity.value if pools.pool_granularity else None
    if pools.default_pool_limit != 1 or granularity != "op":
        do = "Set concurrency: pools: {granularity: op, default_limit: 1} in it."
        return problem("dagster home", f"{file} does not limit pools to one step at a time.", do)
    if not instance.run_monitoring_enabled:
        do = "Set run_monitoring: {enabled: true} in it, as in the one that comes with topo-pipeline."
        return warning("dagster home", f"{file} does not watch over runs: one that hangs is never ended.", do)
    return ok("dagster home", f"{home}: one reader and one builder at a time.")


def _runs(instance: "dg.DagsterInstance") -> Finding:
    import dagster as dg

    from topo_pipeline.instance import UNFINISHED, bury_the_dead

    buried = bury_the_dead(instance)
    if buried:
        names = ", ".join(run.partition("-")[0] for run in buried)
        do = "Read again what they were to read; their days that had landed stay."
        return warning("runs", f"The process of these runs was gone: {names}. They are marked as failed now.", do)
    under_way = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    names = ", ".join(f"{run.job_name} {run.run_id.partition('-')[0]}" for run in under_way)
    return ok("runs", f"Under way: {names or 'none'}.")


def _refused(instance: "dg.DagsterInstance", settings: "Settings", now: datetime) -> Finding:
    from topo_pipeline.defs.records import failed_days, why_refused

    due = last_due_day(now, settings.zone)
    failed = sorted(failed_days(instance, days_between(settings.start_date, due)))
    if failed:
        reason = why_refused(instance, failed[-1])
        do = f"Why {failed[-1]} did not: {reason}" if reason else "The runs that failed say why; read the days again."
        return warning("refused days", f"{len(failed)} did not land when read last ({in_words(failed)}).", do)
    return ok("refused days", "Every day landed when it was read last.")


def _automation(instance: "dg.DagsterInstance", settings: "Settings", now: datetime) -> Finding:
    from topo_pipeline.defs.schedules import schedules
    from topo_pipeline.defs.sensors import sensors

    names = {schedule.name for schedule in schedules(settings)} | {sensor.name for sensor in sensors(settings)}
    switched = {state.name: state.status.value for state in instance.all_instigator_state() if state.name in names}
    default = "RUNNING" if settings.automation == "on" else "STOPPED"
    status = {name: default if switched.get(name) in {None, "DECLARED_IN_CODE"} else switched[name] for name in names}
    running = sorted(name for name in names if status[name] == "RUNNING")
    stopped = sorted(names - set(running))
    beats = [beat.timestamp for beat in instance.get_daemon_heartbeats().values()]
    seen = datetime.fromtimestamp(max(beats), UTC) if beats else None
    if not running:
        alive = "; Dagster's daemon is alive, so the tables follow what lands" if _is_alive(seen, now) else ""
        return ok("automation", f"Off: nothing reads Topo by itself (TOPO_AUTOMATION is {settings.automation}){alive}.")
    if not _is_alive(seen, now):
        since = f"since {seen:%Y-%m-%d %H:%M} UTC" if seen else "at all"
        do = "Start make dev or the daemon: docs/operations.md, 'Running it as a service'."
        return problem("automation", f"On, but Dagster's daemon has not been alive {since}: nothing is read.", do)
    if stopped:
        do = "Switch them in Dagster's UI, Automation, if that is not meant."
        return warning("automation", f"On, but for {', '.join(stopped)}.", do)
    return ok("automation", "On, and Dagster's daemon is alive.")


def _is_alive(seen: datetime | None, now: datetime) -> bool:
    return seen is not None and now - seen < _ALIVE
