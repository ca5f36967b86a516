"""Benchmarks of the pipeline. They measure and never fail."""
