"""The code locations of several organizations: the attribute `NAME` has the definitions of the organization `NAME`.

A workspace file names the attributes. Dagster loads each location in a process of its own, which builds only that one.
"""

import dagster as _dg  # an organization may have any name that does not begin with an underscore

from topo_pipeline import settings as _settings
from topo_pipeline.defs import code_location as _code_location


def __getattr__(name: str) -> _dg.Definitions:
    if name.startswith("_"):
        raise AttributeError(name)
    found = (_settings.of_organizations() or {}).get(name)
    if found is None:  # not an AttributeError, for which Dagster has a message of its own
        again = "Write the workspace file again: topo-pipeline organizations --write"
        raise _settings.SettingsError(f"There is no organization {name}. {again}")
    if isinstance(found, _settings.SettingsError):
        raise found
    return _code_location.build(found)
