"""The metric tables: one .sql file a table; the file's name is the table's and the asset's. Knows no Dagster."""
