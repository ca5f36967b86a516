"""Sensors: what happens by itself."""

import dagster as dg

# On by default: it calls no API, it only lets the tables follow what landed.
tables_follow = dg.AutomationConditionSensorDefinition(
    "tables_follow_what_landed",
    target=dg.AssetSelection.groups("engagement"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Rebuilds the engagement tables once what they are made of has changed.",
)
