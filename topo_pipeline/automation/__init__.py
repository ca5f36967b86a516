"""Decisions of schedules and sensors, as functions of plain data without Dagster. `defs` reads the data and acts."""
