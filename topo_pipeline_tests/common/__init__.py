"""Tests of topo_pipeline.common."""
