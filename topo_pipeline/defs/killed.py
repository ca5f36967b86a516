"""The sensor that fails orphaned runs."""

import dagster as dg


# On by default: it calls no API, and nothing else ends such a run before its maximum runtime.
@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def killed_runs_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Fails runs whose process was killed. They would otherwise block tables and the pool for hours."""
    from topo_pipeline.instance import fail_orphaned_runs

    ended = fail_orphaned_runs(context.instance)
    return dg.SkipReason(f"Ended orphaned runs: {', '.join(ended)}." if ended else "No orphaned runs.")
