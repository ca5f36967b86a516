"""What assets are handed: the API, the warehouse, the clock. Plain objects: the UI shows none of their insides."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

import dagster as dg

from topo_pipeline.settings import Settings, SettingsError, get_settings

if TYPE_CHECKING:
    from topo_pipeline.ingest import Clock
    from topo_pipeline.topo_api.client import Retries, TopoClient
    from topo_pipeline.warehouse.connection import Warehouse
else:  # definitions load without what these import: of a resource's type, Dagster reads only that it is a resource's
    Clock = Warehouse = Any

__all__ = ["Clock", "Resources", "Topo", "Warehouse", "resources"]


@dataclass(frozen=True)
class Topo:
    """Topo's API as the settings name it; a key is needed only where it is used."""

    settings: Settings
    clock: Clock
    retries: "Retries | None" = None
    """Other than the client's own."""

    def client(self) -> "TopoClient":
        """Return a client, to be entered.

        Raises:
            SettingsError: there is no key, or the key or the address can't be used.
        """
        from topo_pipeline.topo_api.client import Retries, TopoClient

        if self.settings.api_key is None:
            raise SettingsError(
                "TOPO_API_KEY is not set: put it into the environment or into .env (make demo needs none)."
            )
        try:
            return TopoClient(
                self.settings.api_url,
                self.settings.api_key.get_secret_value(),
                requests_per_second=self.settings.requests_per_second,
                concurrency=self.settings.concurrency,
                retries=self.retries or Retries(),
                clock=self.clock,
            )
        except ValueError as error:
            raise SettingsError(str(error)) from None


class Resources(TypedDict):
    """What the code location is built over."""

    topo: Topo
    warehouse: "Warehouse | dg.ResourceDefinition"
    settings: Settings
    clock: Clock


def utc_now() -> datetime:
    """The clock of every run: the one place that reads it."""
    return datetime.now(UTC)


def _warehouse(_context: dg.InitResourceContext) -> Warehouse:
    from topo_pipeline.warehouse.connection import Warehouse

    return Warehouse(get_settings().warehouse)


resources: Resources = {
    "topo": Topo(get_settings(), utc_now),
    "warehouse": dg.ResourceDefinition(_warehouse),
    "settings": get_settings(),
    "clock": utc_now,
}
