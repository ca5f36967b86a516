"""The warehouse: whether it can be used, whose it is, and how far the days have landed."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from topo_pipeline.days import counts_in_words, in_words, last_due_day
from topo_pipeline.doctor.finding import Finding, ok, problem, unknown, warning
from topo_pipeline.doctor.places import can_be_written
from topo_pipeline.instance import program_of
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import OlderWarehouse, WarehouseError, WarehouseInUse
from topo_pipeline.warehouse.ledger import Standing, standing
from topo_pipeline.warehouse.migrate import migrations

if TYPE_CHECKING:
    from topo_pipeline.settings import Settings


def look_at_warehouse(settings: "Settings", warehouse: Warehouse, organization_id: str | None) -> Iterator[Finding]:
    """Whether it is there, can be written, is free, of our version and of this workspace."""
    path = warehouse.path
    if not can_be_written(path) or not can_be_written(path.parent):  # where DuckDB writes ahead
        yield problem("warehouse", f"{path} can't be written.", "Set TOPO_WAREHOUSE to where this user may write.")
        return
    if not path.exists():
        yield warning("warehouse", f"There is none at {path} yet.", "Read a day: topo-pipeline backfill DAY DAY.")
        return
    try:
        with warehouse.reader() as connection:
            bound = connection.execute("SELECT organization_id::VARCHAR, timezone FROM topo.workspace").fetchone()
    except WarehouseInUse as error:
        who = f" ({program_of(error.process)})" if error.process else ""
        yield warning("warehouse", f"{error}{who}", "A backfill lets go within seconds; close a client left open.")
    except OlderWarehouse as error:
        yield warning("warehouse", str(error), "Nothing else is needed.")
    except WarehouseError as error:
        yield problem("warehouse", str(error), "See docs/operations.md, 'When a day is refused'.")
    else:
        yield _whose(settings, path, bound or (None, None), organization_id)


def _whose(
    settings: "Settings", path: Path, bound: tuple[str | None, str | None], organization_id: str | None
) -> Finding:
    organization, timezone = bound
    if timezone not in {None, settings.timezone}:
        found = f"Its days were cut in {timezone}, and TOPO_TIMEZONE is {settings.timezone}."
        return problem("warehouse", found, f"Set TOPO_TIMEZONE={timezone}, or TOPO_WAREHOUSE to another file.")
    if organization and organization_id and organization != organization_id.lower():
        found = f"It holds organization {organization}, and the key is of {organization_id}."
        return problem("warehouse", found, "Use the former's key, or set TOPO_WAREHOUSE to another file.")
    whose = f"organization {organization}" if organization else "no organization yet"
    return ok("warehouse", f"{path} can be written; schema version {max(migrations())}, {whose}.")


def look_at_days(settings: "Settings", warehouse: Warehouse, now: datetime) -> Iterator[Finding]:
    """Which days are missing, not closed or not proved, or have rows that could not be read."""
    if not warehouse.path.exists():
        yield unknown("days", "there is no warehouse yet")
        return
    try:
        with warehouse.reader() as connection:
            found = standing(connection, last_due_day(now, settings.zone))
    except WarehouseError:
        yield unknown("days", "the warehouse can't be read")
        return
    if found.first is None:
        yield warning("days", "No day has landed yet.", "Read some: topo-pipeline backfill FROM TO.")
        return
    gaps = {"missing": found.missing, "last read before they were over": found.unclosed, "not proved": found.unproved}
    told = [f"{len(days)} {what} ({in_words(days)})" for what, days in gaps.items() if days]
    span = f"{found.days} days landed since {found.first}"
    if not told:
        yield ok("days", f"{span}, none is missing.")
    else:
        again = min(day for days in gaps.values() for day in days)
        do = f"Read them: topo-pipeline backfill, from {again}; each night does so where TOPO_AUTOMATION is on."
        yield warning("days", f"{span}; {', '.join(told)}.", do)
    yield _unreadable(found)


def _unreadable(found: Standing) -> Finding:
    rows = sum(found.unreadable.values())
    if not rows:
        return ok("unreadable", "Every row that the last load of each day received could be read.")
    told = f"{rows:,} row{'' if rows == 1 else 's'} could not be read: {counts_in_words(found.unreadable)}."
    return warning("unreadable", told, "topo.rejects has the text and the reason of each; tell Topo's support.")
