"""Tests of topo_pipeline."""
