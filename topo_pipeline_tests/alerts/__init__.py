"""Tests of topo_pipeline.alerts."""
