"""Check whether the pipeline can work here and say how to fix what is wrong.

Every check runs, also after another one has failed. The command line prints the findings. One thing is changed:
orphaned runs (runs whose process is gone) are marked as failed.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from topo_pipeline.common.commands import pasteable
from topo_pipeline.common.text import first_line
from topo_pipeline.doctor import api, api_contract, delivery, environment, home, landed, permissions, targets
from topo_pipeline.doctor.finding import Finding, problem
from topo_pipeline.settings import Settings
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError

__all__ = ["Finding", "examine"]

# Seconds to wait for another process to release the warehouse before it is reported.
_PATIENCE = 2.0


def examine(clock: Callable[[], datetime]) -> list[Finding]:
    """Check the settings of this process and everything they refer to."""
    settings, findings = environment.look()
    warehouse = Warehouse.of(settings, wait_seconds=_PATIENCE)
    known = api.Known()
    for check, look in (
        ("topo", lambda: api.look(settings, clock, known)),
        ("warehouse", lambda: landed.look_at_warehouse(settings, warehouse, known.organization_id, clock())),
        ("contract", lambda: api_contract.look_at_contract(warehouse)),
        ("days", lambda: landed.look_at_days(settings, warehouse, clock())),
        ("heartbeat", lambda: environment.look_at_heartbeat(settings)),
        ("message", lambda: delivery.look(settings, clock)),
        ("dagster home", lambda: home.look(settings, warehouse, clock())),
        ("publish", lambda: targets.look(settings)),
        ("permissions", lambda: permissions.look(settings, warehouse)),
    ):
        findings += _run_check(check, look)
    if not _exists(warehouse) and any(f.check == "records" and f.level == "problem" for f in findings):
        # To read a day into a new warehouse would be the wrong advice: the old one is lost or looked for elsewhere.
        do = "Days have landed before: see the finding 'records' below first."
        findings = [replace(finding, do=do) if finding.check == "warehouse" else finding for finding in findings]
    return [_for_people(finding, settings) for finding in findings]


def _exists(warehouse: Warehouse) -> bool:
    try:
        return warehouse.exists()
    except WarehouseError:  # a finding reports it
        return True


def _run_check(check: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield the findings of a check. An unexpected exception becomes a finding, so that the other checks still run."""
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - reported as a finding
        do = "Fix the cause, then run topo-pipeline doctor again."
        yield problem(check, f"The check failed: {type(error).__name__}: {first_line(error)}.", do)


def _for_people(finding: Finding, settings: Settings) -> Finding:
    """Return the finding with commands and settings as they are used here, and without the API key.

    A quoted error might contain the key.
    """
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    found = finding.found.replace(key, "[key]") if key else finding.found
    return replace(finding, found=pasteable(found), do=pasteable(finding.do))
