"""What people look at: tables made into something to read. Knows neither HTTP nor Dagster."""
