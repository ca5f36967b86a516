"""Tests of topo_pipeline.topo_api."""
