"""Tests of topo_pipeline.cli."""
