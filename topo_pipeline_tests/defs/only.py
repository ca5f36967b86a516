"""Definitions with some of their assets: tables and checks take most of a run's time."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from topo_pipeline.defs import code_location
from topo_pipeline.engagement.tables import tables

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from topo_pipeline.settings import Settings

LANDED = ("activities", "sequence_templates")


def reuse_assets(patch: "pytest.MonkeyPatch") -> None:
    """Build the metric tables, the checks and what is published, most of the code location, once for equal settings.

    They don't depend on where Topo and the warehouse are.
    """
    for name in ("metric_tables", "asset_checks", "published_assets"):
        patch.setattr(code_location, name, _reusing(getattr(code_location, name)))


def _reusing(make: "Callable[[Settings], list[Any]]") -> "Callable[[Settings], list[Any]]":
    built: dict[Any, list[Any]] = {}

    def reused(settings: "Settings") -> list[Any]:
        anywhere = settings.model_copy(update=dict.fromkeys(("api_url", "api_key", "warehouse")))
        key = repr(anywhere), tuple(tables().values())
        if key not in built:
            built[key] = make(settings)
        return built[key]

    return reused


def with_only(built: dg.Definitions, *assets: str, checked: bool = False) -> dg.Definitions:
    """Return definitions with only these assets, and with their checks only if `checked`."""
    checks = [
        check
        for check in (built.asset_checks or () if checked else ())
        if all(key.asset_key.path[-1] in assets for key in check.check_keys)
    ]
    return dg.Definitions(
        assets=[asset for asset in built.assets or () if asset.key.path[-1] in assets],
        asset_checks=checks,
        jobs=built.jobs,
        resources=built.resources,
        executor=built.executor,
    )
