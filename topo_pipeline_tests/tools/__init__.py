"""Tests of the generators of documentation."""
