"""Tests of topo_pipeline.defs."""
