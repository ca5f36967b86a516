"""Tests of processes that are killed, run concurrently, or have no disk space."""
