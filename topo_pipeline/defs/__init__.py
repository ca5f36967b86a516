"""Dagster's objects, one kind a module. Each is a few lines that call the other rooms; no logic lives here."""

import gc
import warnings

import dagster as dg

# Ranged runs hang on backfill_policy, links to files on code references, both of which Dagster still calls beta: said
# once here, not at every start.
warnings.filterwarnings("ignore", message=".*(backfill_policy|CodeReference)", category=dg.BetaWarning)

# What Dagster has made so far lives as long as the process: no garbage collection need go through it again. One would
# while the definitions load, and take a quarter of that time.
gc.freeze()
