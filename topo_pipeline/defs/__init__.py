"""Dagster's objects, one kind a module. Each is a few lines that call the other rooms; no logic lives here."""

import warnings

import dagster as dg

# Ranged runs hang on backfill_policy, which Dagster still calls beta: said once here, not at every start.
warnings.filterwarnings("ignore", message=".*backfill_policy", category=dg.BetaWarning)
