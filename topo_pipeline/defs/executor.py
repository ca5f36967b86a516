"""The executor: one process per run, so steps don't compete for DuckDB's single writer or start processes."""

from collections.abc import Iterator
from typing import Any

import dagster as dg


class _OwnerTaggingExecutor(dg.Executor):
    """Dagster's executor, which also tags the run with its process, so that an orphaned run can be recognized."""

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> Any:
        """The retry mode of the wrapped executor."""
        return self._inner.retries

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """Execute the run in this process."""
        from topo_pipeline.instance import owner_tag

        plan_context.instance.add_run_tags(plan_context.run_id, owner_tag(plan_context.run_id))
        yield from self._inner.execute(plan_context, execution_plan)


def _make(context: dg.InitExecutorContext) -> dg.Executor:
    make: Any = dg.in_process_executor.executor_creation_fn
    return _OwnerTaggingExecutor(make(context))


_config: Any = dg.in_process_executor.config_schema
one_process = dg.ExecutorDefinition(
    "in_process",
    config_schema=_config,
    executor_creation_fn=_make,
    description="Executes every step of a run in the run's own process.",
)
