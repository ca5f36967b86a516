"""The sensor that ends runs which can't end themselves."""

import dagster as dg


# On by default: it calls no API, and nothing else would end such a run before its maximum runtime.
@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def killed_runs_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Fails runs whose process was killed with all around it: they would hold up tables and the pool for hours."""
    from topo_pipeline.instance import bury_the_dead

    buried = bury_the_dead(context.instance)
    return dg.SkipReason(f"Failed: {', '.join(buried)}." if buried else "Every run under way has its process.")
