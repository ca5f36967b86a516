"""Dagster objects, one kind per module. They call the other packages and contain no logic of their own."""

import gc
import warnings

import dagster as dg

# Ranged runs need backfill_policy and links to files need code references. Dagster warns that both are beta.
warnings.filterwarnings("ignore", message=".*(backfill_policy|CodeReference)", category=dg.BetaWarning)

# The objects that Dagster has created so far live as long as the process. Scanning them again in a garbage collection
# would take a quarter of the time in which the definitions load.
gc.freeze()
