"""Definitions with some of their assets: tables and checks take most of a run's time."""

import dagster as dg

LANDED = ("activities", "sequence_templates")


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
