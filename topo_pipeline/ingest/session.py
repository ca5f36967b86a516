"""The client in a thread of its own, the checks before the first day is read, and when to stop because Topo is down."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeGuard

from anyio.from_thread import BlockingPortal, start_blocking_portal

from topo_pipeline.days import Clock
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import ClocksApart, EchoMissing, IncompleteWindow, RequestRefused, TopoError
from topo_pipeline.topo_api.wire import ResponseInfo
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.workspace import bind_organization, bind_timezone

# From this difference in seconds between Topo's clock and this machine's, nothing is read.
CLOCKS_APART = 15 * 60
# After this many errors in a row, Topo is taken to be down and nothing more is requested.
OUTAGE_ERRORS = 2


def is_outage(answer: object) -> TypeGuard[TopoError]:
    """Return whether this is an error without a usable answer, after which the next day may fail in the same way."""
    return isinstance(answer, EchoMissing) or (
        isinstance(answer, TopoError) and not isinstance(answer, IncompleteWindow)
    )


@dataclass
class Outage:
    """The errors in a row. A window that could not be proved is not one of them: Topo has answered."""

    errors: list[TopoError] = field(default_factory=list)

    def note(self, answer: object) -> None:
        """Add an error. Any other answer ends the outage."""
        if is_outage(answer):
            self.errors.append(answer)
        else:
            self.errors.clear()

    @property
    def must_stop(self) -> bool:
        """Whether to request nothing more: an error affects every request, or there were several in a row."""
        affects_all = any(isinstance(error, RequestRefused | EchoMissing) for error in self.errors)
        return affects_all or len(self.errors) >= OUTAGE_ERRORS


@contextmanager
def connected(connect: Callable[[], TopoClient]) -> Iterator[tuple[TopoClient, BlockingPortal]]:
    """Yield an open client and the portal to call it. Its connections are reused from day to day.

    The client runs in its own thread. A signal is raised in the main thread. If asyncio ran there, the signal could be
    mistaken for a connection error and lost.
    """
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(connect()) as client:
        yield client, portal


def check(connect: Callable[[], TopoClient], warehouse: Warehouse, *, timezone: str, clock: Clock) -> None:
    """Check for errors that would fail every day, such as a refused key or an unusable warehouse.

    Raises:
        TopoError: the key is refused.
        WarehouseError: the warehouse can't be used, or belongs to another workspace.
    """
    with connected(connect) as (client, portal):
        begin(client, portal, warehouse, timezone, clock())


def begin(client: TopoClient, portal: BlockingPortal, warehouse: Warehouse, timezone: str, now: datetime) -> None:
    """Check for errors that would fail every day, before any activity is requested.

    If Topo does not return the key's organization, it is taken from the activities.

    Raises:
        TopoError: the key is refused, or Topo's clock and this machine's are far apart.
        WarehouseError: the warehouse can't be written, or belongs to another workspace.
    """
    with warehouse.transaction() as connection:
        bind_timezone(connection, timezone, now=now)
    me = portal.call(client.me)
    _compare_clocks(client.last_response, now)
    organization_id = _uuid(me.organization_id) if me else None
    if organization_id:
        with warehouse.transaction() as connection:
            bind_organization(connection, organization_id)


def owner_of_key(connect: Callable[[], TopoClient]) -> uuid.UUID | None:
    """Return the organization that the key belongs to, or None if Topo does not say.

    Raises:
        TopoError: the key is refused.
    """
    with connected(connect) as (client, portal):
        me = portal.call(client.me)
    return _uuid(me.organization_id) if me else None


def _compare_clocks(response: ResponseInfo | None, now: datetime) -> None:
    if response is None or response.clock_ahead is None or abs(response.clock_ahead) < CLOCKS_APART:
        return
    our_time, topo_time = (
        f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" for moment in (now, response.answered_at or now)
    )
    raise ClocksApart(f"This machine's clock says {our_time}, Topo's says {topo_time}")


def _uuid(text: str | None) -> uuid.UUID | None:
    """Return the id as a UUID, or None if it is not one and can't be compared with the payloads."""
    try:
        return uuid.UUID(text)
    except (TypeError, ValueError):
        return None
