"""Names that more than one kind of object needs."""

import dagster as dg

ACTIVITIES = dg.AssetKey(["topo", "activities"])
OWNERS = ["team:revenue-operations"]
