"""The engagement report, and the previews of the tables. Nothing here knows HTTP or Dagster."""
