"""Tests of topo_pipeline.orchestration."""
