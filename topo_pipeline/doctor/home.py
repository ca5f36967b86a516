"""Check the Dagster home: its configuration, runs, records, refused days and automation."""

import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from topo_pipeline.common.text import counted, sentence
from topo_pipeline.days import backfill_commands, days_between, format_days, last_due_day
from topo_pipeline.doctor.finding import Finding, ok, problem, unknown, warning
from topo_pipeline.orchestration.errors import HomeUnusable
from topo_pipeline.settings import Settings, SettingsError
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.files import can_be_written

if TYPE_CHECKING:
    import dagster as dg

# The daemon sends a heartbeat twice a minute.
_ALIVE = timedelta(minutes=5)


def look(settings: Settings, warehouse: Warehouse, now: datetime) -> Iterator[Finding]:
    """Check the home and mark its orphaned runs as failed."""
    home = settings.dagster_home
    if not can_be_written(home):
        yield problem("dagster home", f"{home} can't be written.", "Set DAGSTER_HOME to a folder you can write to.")
        yield unknown("automation", "there is no Dagster home")
        return
    if not home.exists():
        do = "The first topo-pipeline backfill or topo-pipeline dev creates it."
        yield warning("dagster home", f"There is no Dagster home at {home} yet.", do)
        yield unknown("automation", "there is no Dagster home yet")
        return
    try:
        yield from _look_inside(settings, warehouse, now)
    except HomeUnusable as error:
        yield problem("dagster home", error.found, error.do)
        yield unknown("automation", "the Dagster home can't be used")


def _look_inside(settings: Settings, warehouse: Warehouse, now: datetime) -> Iterator[Finding]:
    from topo_pipeline.orchestration.instance import opened

    with opened(settings.dagster_home) as instance:
        yield _configuration(instance, settings)
        yield _runs(instance, settings)
        try:
            yield _records(instance, settings, warehouse)
            yield _refused(instance, settings, now)
            yield _automation(instance, settings, now)
        except SettingsError:
            yield unknown("automation", "the settings can't be used")


def _configuration(instance: "dg.DagsterInstance", settings: Settings) -> Finding:
    from topo_pipeline.orchestration.instance import pool_limits

    home = settings.dagster_home
    file = home / "dagster.yaml"
    if not file.exists():
        do = "The next topo-pipeline backfill or topo-pipeline dev creates it."
        return problem("dagster home", f"{home} has no dagster.yaml, so two runs could read or write at once.", do)
    granularity = instance.get_concurrency_config().pool_config.pool_granularity
    if granularity is None or granularity.value != "op":
        do = "Set in it: concurrency: {pools: {granularity: op}}"
        return problem("dagster home", f"{file} does not limit pools by step.", do)
    limits = pool_limits(instance, [settings.organization] if settings.organization else ())
    if wrong := [pool for pool, limit in limits.items() if limit != 1]:
        set_one = f"DAGSTER_HOME={shlex.quote(str(home))} dagster instance concurrency set"
        found = f"Dagster's records in {home} do not limit pools to one step at a time: {', '.join(wrong)}."
        return problem("dagster home", found, "\n".join(["Run:", *(f"{set_one} {pool} 1" for pool in wrong)]))
    if not instance.run_monitoring_enabled:
        do = "Set in it: run_monitoring: {enabled: true}, as in the file that comes with topo-pipeline."
        return warning("dagster home", f"{file} has no run monitoring, so a run that hangs is never ended.", do)
    return ok("dagster home", f"{home} allows one reader and one builder of tables at a time.")


def _runs(instance: "dg.DagsterInstance", settings: Settings) -> Finding:
    import dagster as dg

    from topo_pipeline.defs.names import is_own
    from topo_pipeline.defs.run_maintenance import UNFINISHED, fail_orphaned_runs

    failed = fail_orphaned_runs(instance, settings)
    if failed:
        names = ", ".join(run.partition("-")[0] for run in failed)
        do = "Read their days again. Days that had landed are kept."
        return warning("runs", f"Orphaned runs (their process is gone): {names}. They are now marked as failed.", do)
    running = [run for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)) if is_own(settings, run)]
    names = ", ".join(f"{run.job_name} {run.run_id.partition('-')[0]}" for run in running)
    return ok("runs", f"Runs in progress: {names or 'none'}.")


def _records(instance: "dg.DagsterInstance", settings: Settings, warehouse: Warehouse) -> Finding:
    """Compare the days in Dagster's records with the ledger."""
    from topo_pipeline.defs.records import compare, describe_lost_days

    try:
        found = compare(instance, settings, warehouse)
    except WarehouseError:
        return unknown("records", "the warehouse can't be read")
    if found.lost:
        return problem("records", *describe_lost_days(found.lost, warehouse.name))
    if found.unrecorded:
        days = [load.day for load in found.unrecorded]
        return problem(
            "records",
            f"Dagster's records lack the last load of these landed days: {format_days(days)}.",
            "If DAGSTER_HOME is wrong, correct it. If it is lost, read any day: this records them all, and the nightly"
            f" run finds missing days again. Run: topo-pipeline backfill {max(days)}",
        )
    return ok("records", "Dagster's records and the warehouse hold the same days.")


def _refused(instance: "dg.DagsterInstance", settings: Settings, now: datetime) -> Finding:
    from topo_pipeline.defs.records import failed_days, why_refused

    due = last_due_day(now, settings.zone)
    failed = sorted(failed_days(instance, days_between(settings.start_date, due), settings))
    if failed:
        why = "The run was stopped, or its log in Dagster's UI says why."
        if reason := why_refused(instance, settings, failed[-1]):
            why = f"Reason for {failed[-1]}: {reason}"
        found = f"{counted(len(failed), 'day')} did not land when last read: {format_days(failed)}."
        return warning("failed days", found, "\n".join([f"{sentence(why)} To try again:", *backfill_commands(failed)]))
    return ok("failed days", "Every day landed the last time it was read.")


def _automation(instance: "dg.DagsterInstance", settings: Settings, now: datetime) -> Finding:
    from topo_pipeline.defs.schedules import schedules
    from topo_pipeline.defs.sensors import sensors

    names = {schedule.name for schedule in schedules(settings)} | {sensor.name for sensor in sensors(settings)}
    switched = {
        state.name: state.status.value
        for state in instance.all_instigator_state()
        if state.name in names and settings.organization in (None, state.origin.location_name)
    }
    default = "RUNNING" if settings.automation == "on" else "STOPPED"
    status = {name: default if switched.get(name) in {None, "DECLARED_IN_CODE"} else switched[name] for name in names}
    running = sorted(name for name in names if status[name] == "RUNNING")
    stopped = sorted(names - set(running))
    beats = [beat.timestamp for beat in instance.get_daemon_heartbeats().values()]
    seen = datetime.fromtimestamp(max(beats), UTC) if beats else None
    if not running:
        alive = " Dagster's daemon is running, so the tables follow what lands." if _is_alive(seen, now) else ""
        off = f"Off: Topo is not read automatically (TOPO_AUTOMATION is {settings.automation})."
        return ok("automation", off + alive)
    if not _is_alive(seen, now):
        since = f"has not run since {seen:%Y-%m-%d %H:%M} UTC" if seen else "has never run"
        do = "Start it: topo-pipeline dev, or as a service (docs/service.md)."
        return problem("automation", f"On, but Dagster's daemon {since}, so nothing is read.", do)
    if stopped:
        do = "If that is not intended, switch them on in Dagster's UI under Automation."
        return warning("automation", f"On, except {', '.join(stopped)}.", do)
    return ok("automation", "On, and Dagster's daemon is running.")


def _is_alive(seen: datetime | None, now: datetime) -> bool:
    return seen is not None and now - seen < _ALIVE
