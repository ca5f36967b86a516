"""The contract check on demand, and the result of the last one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime, time, timedelta

from topo_pipeline.days import Window
from topo_pipeline.doctor.finding import Finding, ok, problem, warning
from topo_pipeline.settings import Settings
from topo_pipeline.topo_api.client import Retries
from topo_pipeline.topo_api.contract import ContractResult, check_contract, summary
from topo_pipeline.topo_api.wire import MAX_PAGE_SIZE
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.contract_checks import day_for_a_sample, latest_contract_check
from topo_pipeline.warehouse.errors import WarehouseError

# A second attempt for a dropped connection. More would use up too many of the 40 requests.
_TWO_TRIES = Retries(attempts=2)
_RECENT_DAYS = 3
_COMMAND = "topo-pipeline doctor --contract"


def check_api(settings: Settings, clock: Callable[[], datetime], days: Sequence[date]) -> list[ContractResult]:
    """Check Topo's API.

    Args:
        settings: The API and the time zone of the days.
        clock: Returns the current time, with a time zone.
        days: Where the sample may come from. Empty: a landed day, else the last days that are over.

    Raises:
        SettingsError: there is no key, or the key or the address can't be used.
        TopoError: Topo can't be reached, or does not accept the key.
    """
    from topo_pipeline.defs.resources import Topo  # noqa: PLC0415 - Dagster takes seconds to import
    from topo_pipeline.ingest.session import connected  # noqa: PLC0415 - as above

    windows = [_window(settings, day) for day in days] or [*_landed(settings), *_recent(settings, clock())]
    with connected(Topo(settings, clock, _TWO_TRIES).client) as (client, portal):
        return portal.call(check_contract, client, windows, clock)


def _window(settings: Settings, day: date) -> Window:
    start, end = (datetime.combine(day + timedelta(days=n), time(), settings.zone) for n in (0, 1))
    return Window(start, end)


def _landed(settings: Settings) -> list[Window]:
    """Return the latest landed day with more rows than one page, or nothing if the warehouse can't be read."""
    with suppress(WarehouseError), Warehouse.of(settings, wait_seconds=0.01).reader() as connection:
        bounds = day_for_a_sample(connection, rows=MAX_PAGE_SIZE + 1)
        return [Window(*bounds)] if bounds else []
    return []


def _recent(settings: Settings, now: datetime) -> list[Window]:
    today = now.astimezone(settings.zone).date()
    return [_window(settings, today - timedelta(days=ago)) for ago in range(1, _RECENT_DAYS + 1)]


def look_at_contract(warehouse: Warehouse) -> Iterator[Finding]:
    """Yield the result of the last contract check, or nothing if the warehouse can't be read."""
    try:
        if not warehouse.exists():
            return
        with warehouse.reader() as connection:
            latest = latest_contract_check(connection)
    except WarehouseError:  # another finding reports it
        return
    if latest is None:
        yield Finding("contract", "ok", "The assumptions about Topo's API are not checked yet.", f"Run: {_COMMAND}")
        return
    checked_at, kept = latest
    yield _finding(checked_at, [ContractResult(**vars(result)) for result in kept])


def _finding(checked_at: datetime, results: Sequence[ContractResult]) -> Finding:
    found = f"Checked {checked_at:%Y-%m-%d %H:%M} UTC: {summary(results)}."
    refusing = [result for result in results if result.refuses_days]
    if refusing:
        return problem("contract", found, f"{refusing[0].consequence} Details: {_COMMAND}")
    if any(result.outcome == "differs" for result in results):
        return warning("contract", found, f"To see what the pipeline does about it: {_COMMAND}")
    return ok("contract", found)
