"""Fixtures of the tests of `warehouse`."""

from topo_pipeline_tests.warehouse.conftest import file_warehouse, on_waiting, prepared_file, warehouse

__all__ = ["file_warehouse", "on_waiting", "prepared_file", "warehouse"]
