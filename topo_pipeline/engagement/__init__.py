"""The metric tables: one .sql file per asset, named like its table. Nothing here imports Dagster."""
