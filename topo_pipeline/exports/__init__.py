"""Export tables without changing the warehouse: one table as a file, or all as a folder of Parquet for BI tools."""
