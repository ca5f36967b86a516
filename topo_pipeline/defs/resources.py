"""Resources of the runs and ticks: API, warehouse, settings and clock.

They are plain objects, so the UI shows none of their fields. What is done with them does not belong here.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from topo_pipeline.days import Clock
from topo_pipeline.settings import Settings, SettingsError

if TYPE_CHECKING:
    from topo_pipeline.topo_api.client import Retries, TopoClient
    from topo_pipeline.warehouse.connection import Warehouse
else:  # not imported when the definitions load: Dagster does not use a resource's type
    Warehouse = Any

__all__ = ["Clock", "Topo", "Warehouse", "resources", "utc_now"]


@dataclass(frozen=True)
class Topo:
    """Topo's API as configured. A key is needed only when a client is created."""

    settings: Settings
    clock: Clock
    retries: "Retries | None" = None  # retries other than the client's defaults

    def client(self) -> "TopoClient":
        """Return a client. Use it as a context manager.

        Raises:
            SettingsError: there is no key, or the key or the URL can't be used.
        """
        from topo_pipeline.topo_api.client import Retries, TopoClient

        if self.settings.api_key is None:
            raise SettingsError(f"{self.settings.key_variable} is not set. {self.settings.key_advice}")
        try:
            return TopoClient(
                self.settings.api_url,
                self.settings.api_key.get_secret_value(),
                requests_per_second=self.settings.requests_per_second,
                concurrency=self.settings.concurrency,
                retries=self.retries or Retries(),
                clock=self.clock,
                key_variable=self.settings.key_variable,
            )
        except ValueError as error:
            raise SettingsError(str(error)) from None


def utc_now() -> datetime:
    """Return the current time. The clock of every run, and the only place that reads it."""
    return datetime.now(UTC)


def resources(settings: Settings, *, clock: Clock, topo: Topo | None, warehouse: Warehouse | None) -> dict[str, Any]:
    """Return the resources by name. Without `topo` and `warehouse`, they are those of the settings."""

    def open_warehouse(_context: dg.InitResourceContext) -> Warehouse:
        from topo_pipeline.warehouse.connection import Warehouse

        return Warehouse.of(settings)

    return {
        "topo": topo or Topo(settings, clock),
        "warehouse": warehouse or dg.ResourceDefinition(open_warehouse),
        "settings": settings,
        "clock": clock,
    }
