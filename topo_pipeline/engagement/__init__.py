"""The metric tables: one .sql file per table, named like the table and its asset. Nothing here imports Dagster."""
