"""Tests of topo_pipeline.doctor."""
