"""Tests of topo_pipeline.sandbox."""
