"""Alerts: which failures and recoveries to report, and how to deliver messages.

Reads no runs and no records of Dagster. `defs.notifications` does.
"""
