"""The engagement report, and the charts and previews of the tables. Nothing here knows HTTP or Dagster."""
