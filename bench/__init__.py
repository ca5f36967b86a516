"""Measures, never asserts: what the pipeline costs on this machine."""
