"""Names that several modules use."""

import dagster as dg

ACTIVITIES = dg.AssetKey(["topo", "activities"])
SEQUENCE_TEMPLATES = dg.AssetKey(["topo", "sequence_templates"])
OWNERS = ["team:revenue-operations"]
