"""The code location of the settings. Those of several organizations are in `locations`."""

from topo_pipeline.defs.code_location import build
from topo_pipeline.settings import get_settings

__all__ = ["build", "defs"]

defs = build(get_settings())
