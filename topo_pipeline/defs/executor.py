"""How a run is executed: in one process, with its process as a tag, and without a log line for each step left out.

Recognizing and failing a run whose process is gone does not belong here: that is in `run_maintenance`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.execute_in_process import core_execute_in_process
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.execution.plan.plan import ExecutionPlan

from topo_pipeline.common import commands
from topo_pipeline.common.text import counted
from topo_pipeline.defs import names
from topo_pipeline.defs.run_maintenance import owner_tag
from topo_pipeline.settings import Settings


class _Steps(ActiveExecution):
    """The steps of a run. Dagster logs an error for each step that needs a failed one, which hides what failed."""

    left_out = 0

    def get_steps_to_abandon(self) -> Sequence[Any]:
        """Abandon the steps here, so that Dagster finds none to abandon."""
        while steps := super().get_steps_to_abandon():
            for step in steps:
                self.mark_abandoned(step.key)
                self.left_out += 1
        return []

    def plan_events_iterator(self, job_context: Any) -> Iterator[dg.DagsterEvent]:
        """Process the steps that can't be executed. At the end of the run, log how many there were."""
        yield from super().plan_events_iterator(job_context)
        if self.left_out and self.is_complete:
            steps = counted(self.left_out, "step")
            job_context.log.info(f"{steps} not executed, because a step that they need has failed.")


class _Plan(ExecutionPlan):
    """A run's plan."""

    def start(self, *arguments: Any, **options: Any) -> ActiveExecution:
        """Return the steps."""
        return _Steps(self, *arguments, **options)


class _Executor(dg.Executor):
    """Dagster's executor, which also tags the run.

    With its process, so that an orphaned run can be recognized, and with its organization: a run that is started on an
    asset's page has no tags of a job.
    """

    def __init__(self, inner: dg.Executor, settings: Settings) -> None:
        self._inner, self._settings = inner, settings

    @property
    def retries(self) -> Any:
        """The retry mode of the wrapped executor."""
        return self._inner.retries

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """Execute the run in this process."""
        run = plan_context.run_id
        plan_context.instance.add_run_tags(run, {**owner_tag(run), **names.run_tags(self._settings)})
        data = plan_context.plan_data._replace(execution_plan=_Plan(**execution_plan._asdict()))
        context = PlanOrchestrationContext(
            data, plan_context.log, self, plan_context.output_capture, plan_context.resume_from_failure
        )
        with commands.written_for(self._settings.organization, self._settings.sources):
            yield from self._inner.execute(context, context.execution_plan)


def one_process(settings: Settings) -> dg.ExecutorDefinition:
    """Return the executor of every run."""
    make: Any = dg.in_process_executor.executor_creation_fn
    config: Any = dg.in_process_executor.config_schema
    return dg.ExecutorDefinition(
        "in_process",
        config_schema=config,
        executor_creation_fn=lambda context: _Executor(make(context), settings),
        description="Executes every step of a run in the run's own process.",
    )


def execute(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    *,
    run_id: str,
    run_config: Mapping[str, Any],
    tags: Mapping[str, str] | None = None,
    selection: Sequence[dg.AssetKey] | None = None,
) -> dg.ExecuteInProcessResult:
    """Execute the job, or a selection of its assets, in this process. A failed step raises no error.

    The job keeps its executor, which Dagster's own `execute_in_process` replaces.
    """
    in_memory = job.as_ephemeral_job(resource_defs={}, input_values={}, asset_selection=selection)
    return core_execute_in_process(
        run_config,
        InMemoryJob(in_memory.with_executor_def(job.executor_def)),
        instance,
        output_capturing_enabled=False,
        raise_on_error=False,
        run_tags={**owner_tag(run_id), **(tags or {})},
        run_id=run_id,
        asset_selection=frozenset(selection or ()),
    )
