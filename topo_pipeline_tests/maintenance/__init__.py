"""Tests of topo_pipeline.warehouse."""
