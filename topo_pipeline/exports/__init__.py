"""What leaves the warehouse: one table as a file, or all of it as a folder of Parquet for BI tools. Only reads."""
