"""Names in Dagster: asset keys, pools, and the tag of an organization's runs.

With several organizations, keys begin and pools end with the name of one. What is read from Dagster's records is
limited to its keys and its runs, because all share one instance.
"""

import dagster as dg

from topo_pipeline.settings import Settings

ACTIVITIES = ("topo", "activities")
OWNERS = ["team:revenue-operations"]
_ORGANIZATION = "organization"
_LOCATION = "dagster/code_location"


def asset_key(settings: Settings, *path: str) -> dg.AssetKey:
    """Return the key of an asset, such as `topo/activities`."""
    return dg.AssetKey([*([settings.organization] if settings.organization else []), *path])


def activities(settings: Settings) -> dg.AssetKey:
    """Return the key of the activities."""
    return asset_key(settings, *ACTIVITIES)


def table_of(key: dg.AssetKey) -> tuple[str, str]:
    """Return the schema and name of an asset, without the organization."""
    return key.path[-2], key.path[-1]


def pool(settings: Settings, name: str) -> str:
    """Return the pool with this purpose: `topo_api`, whose steps read Topo, or `warehouse`, whose steps write it."""
    return f"{name}_{settings.organization}" if settings.organization else name


def run_tags(settings: Settings) -> dict[str, str]:
    """Return the tag that every run of an organization has."""
    return {_ORGANIZATION: settings.organization} if settings.organization else {}


def is_own(settings: Settings, run: dg.DagsterRun) -> bool:
    """Return whether a run is of the organization. Without organizations, every run is.

    A run that was started in the UI has the tag only from its first step on, but names its code location.
    """
    if settings.organization is None:
        return True
    return run.tags.get(_ORGANIZATION, run.tags.get(_LOCATION)) == settings.organization
