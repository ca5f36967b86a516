"""Every table, given what is landed."""

from collections.abc import Callable

from topo_pipeline_tests.engagement.oracle.actions import sequence_actions
from topo_pipeline_tests.engagement.oracle.activity import sequence_activity
from topo_pipeline_tests.engagement.oracle.changes import sequence_cohorts_known, sequence_firsts
from topo_pipeline_tests.engagement.oracle.channels import sequence_channels
from topo_pipeline_tests.engagement.oracle.cohorts import sequence_cohorts
from topo_pipeline_tests.engagement.oracle.daily import sequence_daily
from topo_pipeline_tests.engagement.oracle.forecast import sequence_forecast
from topo_pipeline_tests.engagement.oracle.reply_timing import reply_timing
from topo_pipeline_tests.engagement.oracle.runs import sequence_responses, sequence_runs
from topo_pipeline_tests.engagement.oracle.signals import sequence_signals
from topo_pipeline_tests.engagement.oracle.steps import sequence_steps
from topo_pipeline_tests.engagement.oracle.summary import sequence_summary
from topo_pipeline_tests.engagement.oracle.timing import sequence_timing
from topo_pipeline_tests.engagement.oracle.trends import sequence_trends
from topo_pipeline_tests.engagement.oracle.volumes import sequence_volumes
from topo_pipeline_tests.engagement.oracle.workspace import workspace_daily, workspace_weekly
from topo_pipeline_tests.engagement.oracle.world import Row, World

DEFINITIONS: tuple[Callable[[World], list[Row]], ...] = (
    sequence_activity,
    sequence_runs,
    sequence_responses,
    sequence_actions,
    sequence_firsts,
    sequence_daily,
    sequence_cohorts,
    sequence_cohorts_known,
    sequence_summary,
    sequence_channels,
    sequence_steps,
    sequence_trends,
    sequence_timing,
    reply_timing,
    sequence_signals,
    sequence_forecast,
    sequence_volumes,
    workspace_daily,
    workspace_weekly,
)


def tables(world: World) -> dict[str, list[Row]]:
    """Return the rows of every table by its name, in an order that depends on the rows alone."""
    return {compute.__name__: sorted(compute(world), key=repr) for compute in DEFINITIONS}
