"""Tests of `topo_pipeline.automation`."""
