"""The metric tables computed a second time, in plain Python, from the specification alone.

It is slow and direct: every number is a count over activities or runs, one at a time. It shares no code with the SQL
and must not be written by looking at it. Modules import in one direction: `world`, `rates`, `answers`, `runs`,
`actions`, then one module per table or group of tables, then `definitions`.
"""

from topo_pipeline_tests.engagement.oracle.activity import sequence_activity
from topo_pipeline_tests.engagement.oracle.cohorts import EARLY, OVER_ELIGIBLE, OVER_ENROLLED, OVER_OUTCOMES, RATES
from topo_pipeline_tests.engagement.oracle.definitions import tables
from topo_pipeline_tests.engagement.oracle.rates import change, no_rate, rate
from topo_pipeline_tests.engagement.oracle.runs import FIRST_EVER, OUTCOMES
from topo_pipeline_tests.engagement.oracle.world import DAY_ONLY, KNOWN, PERIODS, TYPES, Row, World, days

__all__ = [
    "DAY_ONLY",
    "EARLY",
    "FIRST_EVER",
    "KNOWN",
    "OUTCOMES",
    "OVER_ELIGIBLE",
    "OVER_ENROLLED",
    "OVER_OUTCOMES",
    "PERIODS",
    "RATES",
    "TYPES",
    "Row",
    "World",
    "change",
    "days",
    "no_rate",
    "rate",
    "sequence_activity",
    "tables",
]
