"""Tests of topo_pipeline.maintenance."""
