"""Tests of topo_pipeline.ingest."""
