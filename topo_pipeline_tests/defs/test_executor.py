"""What the log of a run says about steps that are not executed."""

import logging
import uuid
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from topo_pipeline.defs.executor import execute, one_process
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


def as_the_daemon(instance: dg.DagsterInstance) -> str:
    with dg.execute_job(dg.reconstructable(refreshing), instance=instance) as result:
        return str(result.run_id)


def as_the_command_line(instance: dg.DagsterInstance) -> str:
    run_id = str(uuid.uuid4())
    execute(refreshing, instance, run_id=run_id, run_config={}, tags={})
    return run_id


@pytest.mark.parametrize("run", [as_the_daemon, as_the_command_line])
def test_a_failed_step_is_the_only_error_in_the_log_and_the_steps_that_need_it_are_counted(
    run: Callable[[dg.DagsterInstance], str], tmp_path: Path
) -> None:
    with instance_of(tmp_path) as instance:
        log = instance.all_logs(run(instance))
    events = [(entry.level, entry.dagster_event) for entry in log]
    assert [event and event.event_type_value for level, event in events if level >= logging.ERROR] == [
        "STEP_FAILURE", "PIPELINE_FAILURE"
    ]  # fmt: skip
    [line] = [entry.user_message for entry in log if "not executed" in entry.user_message]
    assert line == "2 steps not executed, because a step that they need has failed."
    assert [event.step_key for _, event in events if event and event.is_step_success] == ["other"]
