"""Check the warehouse: whether it can be used, its organization, and which days have landed."""

from collections.abc import Iterator
from datetime import datetime

from topo_pipeline.common.text import counted
from topo_pipeline.days import backfill_commands, format_counts, format_days, last_due_day, missing_command
from topo_pipeline.doctor.finding import Finding, ok, problem, unknown, warning
from topo_pipeline.settings import Settings
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import OlderWarehouse, WarehouseError, WarehouseInUse
from topo_pipeline.warehouse.ledger import LedgerStatus, ledger_status
from topo_pipeline.warehouse.migrate import migrations


def look_at_warehouse(
    settings: Settings, warehouse: Warehouse, organization_id: str | None, now: datetime
) -> Iterator[Finding]:
    """Check that it exists, can be written, is free, and has our schema version, organization and time zone."""
    if not warehouse.place.is_writable():
        do = "Set TOPO_WAREHOUSE to a file this user can write to."
        yield problem("warehouse", f"{warehouse.name} can't be written.", do)
        return
    try:
        if unreachable := warehouse.place.why_unreachable():
            yield problem("warehouse", unreachable, "Check TOPO_LAKE_DATA_PATH and the AWS_… variables.")
            return
        if unlocked := warehouse.place.why_unlocked():
            do = "Connect to Postgres directly, or set the pooler to session mode."
            yield warning("warehouse", unlocked, do)
        if not warehouse.exists():
            yield warning("warehouse", f"There is no warehouse at {warehouse.name} yet.", _read_one(settings, now))
            return
        with warehouse.reader() as connection:
            bound = connection.execute("SELECT organization_id::VARCHAR, timezone FROM topo.workspace").fetchone()
    except WarehouseInUse as error:
        do = "A backfill releases the warehouse within seconds. Close any client that was left open."
        yield warning("warehouse", str(error), do)
    except OlderWarehouse as error:
        yield warning("warehouse", str(error), "No other action is needed.")
    except WarehouseError as error:
        yield problem("warehouse", str(error), "See docs/troubleshooting.md, 'The warehouse'.")
    else:
        yield _whose(settings, warehouse.name, bound or (None, None), organization_id)


def _whose(settings: Settings, name: str, bound: tuple[str | None, str | None], organization_id: str | None) -> Finding:
    organization, timezone = bound
    if timezone not in {None, settings.timezone}:
        found = f"The warehouse's days are in {timezone}, but TOPO_TIMEZONE is {settings.timezone}."
        return problem("warehouse", found, f"Set TOPO_TIMEZONE={timezone}, or set TOPO_WAREHOUSE to another file.")
    if organization and organization_id and organization != organization_id.lower():
        found = f"The warehouse holds organization {organization}, but the key belongs to {organization_id}."
        return problem("warehouse", found, f"Use a key of {organization}, or set TOPO_WAREHOUSE to another file.")
    whose = f"organization {organization}" if organization else "no organization yet"
    return ok("warehouse", f"{name} can be written: schema version {max(migrations())}, {whose}.")


def look_at_days(settings: Settings, warehouse: Warehouse, now: datetime) -> Iterator[Finding]:
    """Report days that are missing, open or not proved, and rows that could not be read."""
    try:
        if not warehouse.exists():
            yield unknown("days", "there is no warehouse")
            return
        with warehouse.reader() as connection:
            found = ledger_status(connection, last_due_day(now, settings.zone))
    except WarehouseError:
        yield unknown("days", "the warehouse can't be read")
        return
    if found.first is None:
        yield warning("days", "No day has landed yet.", _read_one(settings, now))
        return
    gaps = {"missing": found.missing, "last read before they were over": found.unclosed, "not proved": found.unproved}
    problems = [f"{len(days)} {what} ({format_days(days)})" for what, days in gaps.items() if days]
    span = f"{counted(found.days, 'day')} landed since {found.first}"
    if not problems:
        yield ok("days", f"{span}, none are missing.")
    else:
        yield warning("days", f"{span}, {', '.join(problems)}.", _read_again(found))
    yield _unreadable(found)


def _read_one(settings: Settings, now: datetime) -> str:
    return f"To read one day: topo-pipeline backfill {last_due_day(now, settings.zone)}"


def _read_again(found: LedgerStatus) -> str:
    """Return the commands that read the missing, open and unproved days."""
    missing = [*found.missing, *found.unclosed]
    commands = [*([missing_command(missing)] if missing else []), *backfill_commands(found.unproved)]
    nightly = "With TOPO_AUTOMATION=on the nightly run reads missing days. " if missing else ""
    return "\n".join([f"{nightly}To read them now:", *commands])


def _unreadable(found: LedgerStatus) -> Finding:
    rows = sum(found.unreadable.values())
    if not rows:
        return ok("unreadable", "Every row of the last load of each day could be read.")
    count = f"{counted(rows, 'row')} could not be read: {format_counts(found.unreadable)}."
    return warning("unreadable", count, "topo.rejects has each text and its reason. Report them to Topo's support.")
