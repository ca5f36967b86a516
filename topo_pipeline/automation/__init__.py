"""What happens by itself: each decision a function of facts, without Dagster. `defs` brings the facts and acts."""
