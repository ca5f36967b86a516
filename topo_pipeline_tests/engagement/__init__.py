"""Tests of topo_pipeline.engagement."""
