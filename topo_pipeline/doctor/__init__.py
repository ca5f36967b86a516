"""Whether the pipeline can work here, and what to do where it can't: looks at everything, whatever it finds.

Knows every room that it looks at; what it finds is for the command line to show. It changes one thing only: runs whose
process is gone are marked as failed.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from topo_pipeline.doctor import api, api_contract, environment, home, landed, permissions
from topo_pipeline.doctor.finding import Finding, problem
from topo_pipeline.warehouse.connection import Warehouse

if TYPE_CHECKING:
    from topo_pipeline.settings import Settings

__all__ = ["Finding", "examine"]

# So long a writer may have the warehouse before the doctor says who it is.
_PATIENCE = 2.0


def examine(clock: Callable[[], datetime]) -> list[Finding]:
    """Look at the settings of this process and everything that they name.

    Args:
        clock: Now, aware.
    """
    settings, findings = environment.look()
    warehouse = Warehouse(settings.warehouse, wait_seconds=_PATIENCE)
    known = api.Known()
    for check, look in (
        ("topo", lambda: api.look(settings, clock, known)),
        ("warehouse", lambda: landed.look_at_warehouse(settings, warehouse, known.organization_id)),
        ("contract", lambda: api_contract.look_at_contract(warehouse)),
        ("days", lambda: landed.look_at_days(settings, warehouse, clock())),
        ("heartbeat", lambda: environment.look_at_heartbeat(settings)),
        ("dagster home", lambda: home.look(settings, warehouse, clock())),
        ("permissions", lambda: permissions.look(settings, warehouse)),
    ):
        findings += _whatever_happens(check, look)
    return [_without_key(finding, settings) for finding in findings]


def _whatever_happens(check: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What `look` finds; a fault that it does not know is a finding too, and the next is looked at."""
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - told, not swallowed
        detail = str(error).strip().partition("\n")[0]
        yield problem(check, f"Looking at it failed: {type(error).__name__}: {detail}.", "Mend that, and ask again.")


def _without_key(finding: Finding, settings: "Settings") -> Finding:
    """Whoever quotes anything might quote the key."""
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    return replace(finding, found=finding.found.replace(key, "[key]")) if key else finding
