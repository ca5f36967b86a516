"""Topo engagement, proved complete and counted honestly."""
