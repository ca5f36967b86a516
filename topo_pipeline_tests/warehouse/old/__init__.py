"""Warehouses of past schema versions, written by `write_old`."""
