"""Drive Dagster from the command line: its home, runs over a range of days, its services."""
