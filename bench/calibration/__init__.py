"""Simulated workspaces with a known truth: do early reads, signals, ranks and forecasts keep what they promise?"""
