"""Tests of topo_pipeline.report."""
