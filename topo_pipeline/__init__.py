"""Load Topo's engagement events into DuckDB, prove each day complete, and build engagement metrics."""
