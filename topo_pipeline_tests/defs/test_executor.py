"""What the log of a run says about steps that are not executed."""

import logging
from pathlib import Path

import dagster as dg

from topo_pipeline.defs.executor import one_process
from topo_pipeline_tests.defs.conftest import SETTINGS, instance_of


@dg.op(out=dg.Out(dg.Nothing))
def read() -> None:
    """Fail as a step with refused days does."""
    raise dg.Failure("1 of 2 days did not land.", allow_retries=False)


@dg.op(ins={"read": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def count() -> None:
    """Need what was not read."""


@dg.op
def other() -> None:
    """Need nothing."""


@dg.job(executor_def=one_process(SETTINGS))
def refreshing() -> None:
    """A step that fails, two that need it in turn, and one that does not."""
    count.alias("check")(count(read()))
    other()


def test_a_failed_step_is_the_only_error_in_the_log_and_the_steps_that_need_it_are_counted(tmp_path: Path) -> None:
    with (
        instance_of(tmp_path) as instance,
        dg.execute_job(dg.reconstructable(refreshing), instance=instance) as result,
    ):
        log = instance.all_logs(result.run_id)
    failures = [entry for entry in log if entry.level >= logging.ERROR]
    assert [entry.dagster_event and entry.dagster_event.event_type_value for entry in failures] == [
        "STEP_FAILURE", "PIPELINE_FAILURE"
    ]  # fmt: skip
    [line] = [entry.user_message for entry in log if "not executed" in entry.user_message]
    assert line == "2 steps not executed, because a step that they need has failed."
    assert [event.step_key for event in result.get_step_success_events()] == ["other"]
