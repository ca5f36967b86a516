"""Simulated workspaces with known truth: how often the tables' statements are right, next to the targets."""
